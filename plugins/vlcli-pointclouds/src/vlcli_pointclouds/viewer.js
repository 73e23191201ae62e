"use strict";
// A shape that the reader turns: triangles, or discs on points, drawn into a z-buffer by hand, so that no WebGL is needed.
//
// data.vertices  int16 x, y, z      data.faces    uint16 corners        data.colours  uint8 r, g, b of each triangle
// data.points    int16 x, y, z      data.normals  int8 x, y, z          data.colours  uint8 r, g, b of each point
// data.radius    of a disc; 32,000 steps are a length of 1. All are base64.
vlcli.viewer(function (canvas, data, reduced) {
  const STEPS = 32000, MOST_PIXELS = 460, TURN_SECONDS = 24, LIGHT = [-0.442, 0.634, 0.634];
  const PLAIN = [143, 166, 199]; // between the papers of light and dark pages
  const START = { yaw: -35 * Math.PI / 180, pitch: 20 * Math.PI / 180, zoom: 1 };

  function bytes(text) {
    const raw = atob(text), found = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
    return found;
  }
  function shorts(text, kind) { return text ? new kind(bytes(text).buffer) : null; }

  const faces = shorts(data.faces, Uint16Array);
  const places = shorts(faces ? data.vertices : data.points, Int16Array);
  const normals = data.normals ? new Int8Array(bytes(data.normals).buffer) : null;
  const colours = data.colours ? bytes(data.colours) : null;
  const count = places.length / 3;
  const turned = new Float32Array(places.length);

  const shrink = Math.min(1, MOST_PIXELS / Math.max(canvas.width, canvas.height, 1));
  const width = Math.max(1, Math.round(canvas.width * shrink)), height = Math.max(1, Math.round(canvas.height * shrink));
  const layer = document.createElement("canvas");
  layer.width = width;
  layer.height = height;
  const pen = canvas.getContext("2d"), layerPen = layer.getContext("2d");
  const image = layerPen.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer), depth = new Float32Array(width * height);
  const little = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

  let yaw = START.yaw, pitch = START.pitch, zoom = START.zoom;
  let turning = !reduced, frame = 0, last = 0;

  function rgba(red, green, blue, shade) {
    const r = Math.min(255, red * shade) | 0, g = Math.min(255, green * shade) | 0, b = Math.min(255, blue * shade) | 0;
    return (little ? (255 << 24) | (b << 16) | (g << 8) | r : (r << 24) | (g << 16) | (b << 8) | 255) >>> 0;
  }
  function shaded(place, light) {
    return colours ? rgba(colours[place], colours[place + 1], colours[place + 2], light)
      : rgba(PLAIN[0], PLAIN[1], PLAIN[2], light);
  }

  function draw() {
    const cosYaw = Math.cos(yaw), sinYaw = Math.sin(yaw), cosPitch = Math.cos(pitch), sinPitch = Math.sin(pitch);
    const scale = zoom * Math.min(width, height) / 2.08, size = scale / STEPS;
    pixels.fill(0);
    depth.fill(-1e9);
    for (let i = 0; i < 3 * count; i += 3) {
      const x = places[i], y = places[i + 1], z = places[i + 2];
      const ahead = z * cosYaw - x * sinYaw;
      turned[i] = (x * cosYaw + z * sinYaw) * size;
      turned[i + 1] = (y * cosPitch - ahead * sinPitch) * size;
      turned[i + 2] = (y * sinPitch + ahead * cosPitch) * size;
    }
    if (faces) triangles(); else discs(scale, cosYaw, sinYaw, cosPitch, sinPitch);
    layerPen.putImageData(image, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(layer, 0, 0, canvas.width, canvas.height);
  }

  function triangles() {
    const middleX = width / 2, middleY = height / 2;
    for (let face = 0; face < faces.length; face += 3) {
      const a = 3 * faces[face], b = 3 * faces[face + 1], c = 3 * faces[face + 2];
      const ax = turned[a] + middleX, ay = middleY - turned[a + 1], az = turned[a + 2];
      const bx = turned[b] + middleX, by = middleY - turned[b + 1], bz = turned[b + 2];
      const cx = turned[c] + middleX, cy = middleY - turned[c + 1], cz = turned[c + 2];
      const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
      if (Math.abs(area) < 1e-3) continue;
      // Normal in the viewer's axes (y up), turned to the viewer: both sides of a triangle are seen.
      const ux = bx - ax, uy = ay - by, uz = bz - az, vx = cx - ax, vy = ay - cy, vz = cz - az;
      let nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
      const length = Math.sqrt(nx * nx + ny * ny + nz * nz) * (nz < 0 ? -1 : 1);
      const light = 0.5 + 0.6 * Math.max(0, (nx * LIGHT[0] + ny * LIGHT[1] + nz * LIGHT[2]) / length);
      const colour = shaded(face, light);
      const left = Math.max(0, Math.floor(Math.min(ax, bx, cx))), right = Math.min(width - 1, Math.ceil(Math.max(ax, bx, cx)));
      const top = Math.max(0, Math.floor(Math.min(ay, by, cy))), end = Math.min(height - 1, Math.ceil(Math.max(ay, by, cy)));
      for (let y = top; y <= end; y++) {
        for (let x = left; x <= right; x++) {
          const p = x + 0.5, q = y + 0.5;
          const wa = ((bx - p) * (cy - q) - (by - q) * (cx - p)) / area;
          const wb = ((cx - p) * (ay - q) - (cy - q) * (ax - p)) / area;
          const wc = 1 - wa - wb;
          if (wa < 0 || wb < 0 || wc < 0) continue;
          const z = wa * az + wb * bz + wc * cz, place = y * width + x;
          if (z > depth[place]) { depth[place] = z; pixels[place] = colour; }
        }
      }
    }
  }

  function discs(scale, cosYaw, sinYaw, cosPitch, sinPitch) {
    const radius = Math.max(0.8, data.radius * scale), square = radius * radius;
    for (let i = 0; i < 3 * count; i += 3) {
      let nx = 0, ny = 0, nz = 1, light;
      if (normals) {
        const x = normals[i] / 127, y = normals[i + 1] / 127, z = normals[i + 2] / 127;
        const ahead = z * cosYaw - x * sinYaw;
        nx = x * cosYaw + z * sinYaw;
        ny = y * cosPitch - ahead * sinPitch;
        nz = y * sinPitch + ahead * cosPitch;
        if (nz < 0) { nx = -nx; ny = -ny; nz = -nz; }
        light = 0.5 + 0.6 * Math.max(0, nx * LIGHT[0] + ny * LIGHT[1] + nz * LIGHT[2]);
        nz = Math.max(nz, 0.15);
      } else {
        light = 0.8 + 0.28 * turned[i + 2] / scale;
      }
      const colour = shaded(i, light);
      const px = turned[i] + width / 2, py = height / 2 - turned[i + 1], pz = turned[i + 2];
      const left = Math.max(0, Math.ceil(px - radius - 0.5)), right = Math.min(width - 1, Math.floor(px + radius - 0.5));
      const top = Math.max(0, Math.ceil(py - radius - 0.5)), end = Math.min(height - 1, Math.floor(py + radius - 0.5));
      for (let y = top; y <= end; y++) {
        for (let x = left; x <= right; x++) {
          const dx = x + 0.5 - px, dy = py - y - 0.5, dz = -(nx * dx + ny * dy) / nz;
          if (dx * dx + dy * dy + dz * dz > square) continue;
          const place = y * width + x;
          if (pz + dz > depth[place]) { depth[place] = pz + dz; pixels[place] = colour; }
        }
      }
    }
  }

  function tick(now) {
    frame = 0;
    if (turning) {
      yaw += 2 * Math.PI * Math.min(100, last ? now - last : 0) / (1000 * TURN_SECONDS);
      last = now;
      ask();
    }
    draw();
  }
  function ask() { if (!frame) frame = requestAnimationFrame(tick); }
  function turn(across, down) {
    turning = false;
    yaw += across;
    pitch = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, pitch + down));
    ask();
  }
  function enlarge(factor) {
    turning = false;
    zoom = Math.max(0.4, Math.min(8, zoom * factor));
    ask();
  }

  const fingers = new Map();
  let spread = 0;
  function distance() {
    const [one, two] = [...fingers.values()];
    return Math.hypot(one.x - two.x, one.y - two.y);
  }
  const handlers = {
    pointerdown(event) {
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      canvas.setPointerCapture(event.pointerId);
      if (fingers.size === 2) spread = distance();
    },
    pointermove(event) {
      const finger = fingers.get(event.pointerId);
      if (!finger) return;
      const across = event.clientX - finger.x, down = event.clientY - finger.y;
      finger.x = event.clientX;
      finger.y = event.clientY;
      if (fingers.size === 1) turn(across * 0.011, down * 0.011);
      else if (fingers.size === 2 && spread) {
        const wide = distance();
        enlarge(wide / spread);
        spread = wide;
      }
    },
    pointerup(event) { fingers.delete(event.pointerId); },
    pointercancel(event) { fingers.delete(event.pointerId); },
    wheel(event) {
      // A page of many shapes must still scroll: the wheel zooms the one that was chosen.
      if (document.activeElement !== canvas && !event.ctrlKey) return;
      event.preventDefault();
      enlarge(Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) * 0.003));
    },
    keydown(event) {
      const step = 0.12;
      const acts = {
        ArrowLeft() { turn(-step, 0); }, ArrowRight() { turn(step, 0); },
        ArrowUp() { turn(0, -step); }, ArrowDown() { turn(0, step); },
        "+"() { enlarge(1.15); }, "="() { enlarge(1.15); }, "-"() { enlarge(1 / 1.15); },
        Home() { yaw = START.yaw; pitch = START.pitch; zoom = START.zoom; turning = false; ask(); },
        " "() { turning = !turning; last = 0; ask(); },
      };
      if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(acts, event.key)) return;
      event.preventDefault();
      acts[event.key]();
    },
  };
  for (const [name, act] of Object.entries(handlers)) canvas.addEventListener(name, act, { passive: false });
  canvas.style.touchAction = "pan-y";
  canvas.style.cursor = "grab";
  canvas.title = "Drag or press the arrow keys to turn, + and - or the wheel to zoom, space to let it turn, Home to begin anew.";
  draw();
  if (turning) ask();
  return {
    stop() {
      if (frame) cancelAnimationFrame(frame);
      turning = false;
      frame = -1;
      for (const [name, act] of Object.entries(handlers)) canvas.removeEventListener(name, act);
    },
  };
});
