"use strict";
// Each viewer's script registers one start function under the name of its element; cards in sight are started, cards
// out of sight are stopped, so that a page of hundreds stays light.
(function () {
  const starters = {};
  const reduced = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  window.vlcli = {
    viewer: function (start) { starters[document.currentScript.dataset.viewer] = start; },
  };

  function begin(place) {
    const start = starters[place.dataset.viewer];
    if (!start || place.running) return;
    const canvas = document.createElement("canvas");
    const picture = place.querySelector("img");
    const scale = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.round(place.clientWidth * scale);
    canvas.height = Math.round(place.clientHeight * scale);
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", picture ? picture.alt : "");
    place.append(canvas);
    try {
      place.data = place.data || JSON.parse(place.querySelector("script").textContent);
      place.running = start(canvas, place.data, reduced) || {};
      if (picture) picture.hidden = true;
    } catch (error) {
      canvas.remove();
      place.running = {};
      console.error(error);
    }
  }

  function end(place) {
    if (!place.running) return;
    const canvas = place.querySelector("canvas");
    if (canvas && canvas === document.activeElement) return;
    if (place.running.stop) place.running.stop();
    if (canvas) canvas.remove();
    const picture = place.querySelector("img");
    if (picture) picture.hidden = false;
    place.running = null;
  }

  document.addEventListener("DOMContentLoaded", function () {
    const seen = new IntersectionObserver(function (entries) {
      for (const entry of entries) (entry.isIntersecting ? begin : end)(entry.target);
    });
    for (const place of document.querySelectorAll(".view")) seen.observe(place);
    let wait = 0;
    window.addEventListener("resize", function () {
      clearTimeout(wait);
      wait = setTimeout(function () {
        for (const place of document.querySelectorAll(".view")) {
          if (place.running) { end(place); begin(place); }
        }
      }, 150);
    });
  });
})();
