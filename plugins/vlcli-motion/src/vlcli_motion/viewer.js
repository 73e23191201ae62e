// A stick figure that moves. Click or space plays and pauses, dragging turns, the bar at the bottom and the left and
// right arrow keys go through time, up and down turn. The figure stays in the middle; the ground passes below it.
vlcli.viewer(function (canvas, data, reduced) {
  "use strict";
  const LEFT = "#3d84e0", RIGHT = "#e0762b";
  const REST = 0.7;
  const context = canvas.getContext("2d");
  const joints = decode(data.joints);
  const count = data.count, frames = Math.floor(joints.length / (3 * count));
  const ink = getComputedStyle(canvas).color;
  const bar = Math.max(14, canvas.height * 0.07);
  const extent = measure();
  let time = 0, playing = !reduced && frames > 1, yaw = -48 * Math.PI / 180, tilt = 12 * Math.PI / 180;
  let before = null, request = 0, held = null;

  function decode(text) {
    const bytes = Uint8Array.from(atob(text), function (letter) { return letter.charCodeAt(0); });
    const view = new DataView(bytes.buffer), values = new Float32Array(bytes.length / 2);
    for (let i = 0; i < values.length; i++) values[i] = view.getInt16(2 * i, true) / 1000;
    return values;
  }

  // How far the body reaches around its root and upwards, so that every frame fits from every side.
  function measure() {
    let wide = 0.55, high = 1;
    for (let frame = 0; frame < frames; frame++) {
      for (let joint = 0; joint < count; joint++) {
        const at = 3 * (frame * count + joint), root = 3 * frame * count;
        wide = Math.max(wide, Math.hypot(joints[at] - joints[root], joints[at + 2] - joints[root + 2]));
        high = Math.max(high, joints[at + 1]);
      }
    }
    return { wide: wide + 0.12, high: high + 0.25 };
  }

  // The joints between two frames.
  function pose(at) {
    const first = Math.min(Math.floor(at), frames - 1), second = Math.min(first + 1, frames - 1), share = at - first;
    const points = new Float32Array(3 * count);
    for (let i = 0; i < points.length; i++) {
      points[i] = joints[3 * count * first + i] * (1 - share) + joints[3 * count * second + i] * share;
    }
    return points;
  }

  function camera(root) {
    const high = canvas.height - bar;
    const scale = Math.min(canvas.width / (2 * extent.wide), high / (extent.high + 0.35 + extent.wide * Math.sin(tilt)));
    const down = high - scale * (0.16 + 0.5 * extent.wide * Math.sin(tilt));
    return function (x, y, z) {
      x -= root[0];
      z -= root[2];
      const side = Math.cos(yaw) * x - Math.sin(yaw) * z, near = Math.sin(yaw) * x + Math.cos(yaw) * z;
      return [canvas.width / 2 + scale * side, down - scale * (Math.cos(tilt) * y - Math.sin(tilt) * near), near, scale];
    };
  }

  function line(from, to, colour, width, alpha) {
    context.globalAlpha = alpha;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1]);
    context.stroke();
  }

  function ground(project, root) {
    const x = Math.round(root[0] * 2) / 2, z = Math.round(root[2] * 2) / 2;
    for (let step = -4; step <= 4; step++) {
      const alpha = 0.16 * (1 - Math.abs(step) / 5);
      line(project(x + step / 2, 0, z - 2), project(x + step / 2, 0, z + 2), ink, 1, alpha);
      line(project(x - 2, 0, z + step / 2), project(x + 2, 0, z + step / 2), ink, 1, alpha);
    }
    for (let frame = 1; frame <= Math.min(Math.ceil(time), frames - 1); frame++) {
      const a = 3 * count * (frame - 1), b = 3 * count * frame;
      line(project(joints[a], 0, joints[a + 2]), project(joints[b], 0, joints[b + 2]), ink, 1.5, 0.4);
    }
  }

  function draw() {
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.lineCap = "round";
    const points = pose(time), root = [points[0], points[1], points[2]], project = camera(root);
    ground(project, root);
    const seen = [], shadow = [];
    for (let joint = 0; joint < count; joint++) {
      const [x, y, z] = points.subarray(3 * joint, 3 * joint + 3);
      seen.push(project(x, y, z));
      shadow.push(project(x, 0, z));
    }
    const thick = seen[0][3] * 0.036, bones = [];
    for (let joint = 1; joint < count; joint++) bones.push([data.parents[joint], joint]);
    for (const [parent, joint] of bones) line(shadow[parent], shadow[joint], ink, thick * 1.4, 0.1);
    bones.sort(function (a, b) { return seen[a[0]][2] + seen[a[1]][2] - seen[b[0]][2] - seen[b[1]][2]; });
    for (const [parent, joint] of bones) {
      const near = (seen[parent][2] + seen[joint][2]) / 2, side = data.sides[joint];
      const alpha = Math.max(0.45, Math.min(1, 0.8 + 0.7 * near));
      line(seen[parent], seen[joint], side < 0 ? LEFT : side > 0 ? RIGHT : ink, thick * (1 + 0.3 * near), alpha);
    }
    const head = project.apply(null, crown(points));
    context.globalAlpha = 0.9;
    context.fillStyle = ink;
    context.beginPath();
    context.arc(head[0], head[1], head[3] * 0.1, 0, 2 * Math.PI);
    context.fill();
    timeline();
  }

  // The middle of the head: between its joint and the neck's, and above, away from the root.
  function crown(points) {
    const head = 3 * data.head, neck = 3 * data.parents[data.head];
    const up = [0, 1, 2].map(function (axis) { return points[neck + axis] - points[axis]; });
    const length = Math.hypot(up[0], up[1], up[2]) || 1;
    return up.map(function (value, axis) {
      return (points[head + axis] + points[neck + axis]) / 2 + 0.13 * value / length;
    });
  }

  function timeline() {
    const y = canvas.height - bar / 2, edge = bar, width = canvas.width - 2 * edge;
    const at = edge + width * (frames > 1 ? Math.min(1, time / (frames - 1)) : 0);
    line([edge, y], [edge + width, y], ink, 2, 0.25);
    line([edge, y], [at, y], ink, 2, 0.7);
    context.globalAlpha = 0.85;
    context.fillStyle = ink;
    context.beginPath();
    if (playing) {
      context.arc(at, y, bar * 0.22, 0, 2 * Math.PI);
    } else {
      context.moveTo(at - bar * 0.2, y - bar * 0.3);
      context.lineTo(at + bar * 0.34, y);
      context.lineTo(at - bar * 0.2, y + bar * 0.3);
    }
    context.fill();
    context.globalAlpha = 1;
  }

  function tick(now) {
    request = 0;
    if (before !== null) time += (now - before) / 1000 * data.fps;
    before = now;
    // At the end it rests for a moment, then begins anew.
    if (time > frames - 1 + REST * data.fps) time = 0;
    draw();
    if (playing) request = requestAnimationFrame(tick);
  }

  function play(wanted) {
    playing = wanted && frames > 1;
    before = null;
    if (playing && time >= frames - 1) time = 0;
    if (playing && !request) request = requestAnimationFrame(tick);
    else draw();
  }

  function scrub(event) {
    const place = canvas.getBoundingClientRect(), edge = bar * place.width / canvas.width;
    const share = (event.clientX - place.left - edge) / (place.width - 2 * edge);
    time = Math.max(0, Math.min(1, share)) * (frames - 1);
    play(false);
  }

  canvas.style.touchAction = "pan-y";
  canvas.style.cursor = "grab";
  canvas.title = "Click or space: play and pause. Drag: turn. Arrow keys or the bar: time.";

  canvas.addEventListener("pointerdown", function (event) {
    const place = canvas.getBoundingClientRect();
    const below = (event.clientY - place.top) * canvas.height / place.height > canvas.height - 1.4 * bar;
    held = { x: event.clientX, y: event.clientY, yaw: yaw, tilt: tilt, moved: false, below: below };
    canvas.setPointerCapture(event.pointerId);
    if (below) scrub(event);
  });
  canvas.addEventListener("pointermove", function (event) {
    if (!held) return;
    if (held.below) { scrub(event); return; }
    const x = event.clientX - held.x, y = event.clientY - held.y;
    if (Math.hypot(x, y) > 4) held.moved = true;
    if (!held.moved) return;
    yaw = held.yaw + x * 0.012;
    tilt = Math.max(0, Math.min(1.2, held.tilt + y * 0.006));
    if (!playing) draw();
  });
  canvas.addEventListener("pointerup", function () {
    if (held && !held.moved && !held.below) play(!playing);
    held = null;
  });
  canvas.addEventListener("pointercancel", function () { held = null; });
  canvas.addEventListener("keydown", function (event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 }, turns = { ArrowUp: -0.15, ArrowDown: 0.15 };
    if (event.key === " ") {
      play(!playing);
    } else if (event.key in steps) {
      time = Math.max(0, Math.min(frames - 1, Math.round(time) + steps[event.key]));
      play(false);
    } else if (event.key in turns) {
      yaw += turns[event.key];
      if (!playing) draw();
    } else {
      return;
    }
    event.preventDefault();
  });

  if (reduced) time = (frames - 1) / 2;
  draw();
  if (playing) request = requestAnimationFrame(tick);
  return { stop: function () { playing = false; cancelAnimationFrame(request); } };
});
