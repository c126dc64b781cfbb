"use strict";
// Without this script every measure is shown, one under the other; with it, the one that is chosen.
{
  const blocks = [...document.querySelectorAll("[data-measure]")];
  const measures = [...new Set(blocks.map((block) => block.dataset.measure))];
  const bar = document.getElementById("switch");
  if (bar && measures.length > 1) {
    const choose = (measure) => {
      for (const block of blocks) block.hidden = block.dataset.measure !== measure;
      for (const button of bar.children) button.setAttribute("aria-pressed", String(button.textContent === measure));
    };
    for (const measure of measures) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = measure;
      button.addEventListener("click", () => choose(measure));
      bar.append(button);
    }
    choose(measures[0]);
  }
}
// Paper cannot be unfolded.
{
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of closed) each.open = false;
  });
}
