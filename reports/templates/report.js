// Comfort only: the page says everything without it.
"use strict";
document.documentElement.classList.add("scripted");
addEventListener("beforeprint", () => { for (const story of document.querySelectorAll(".story")) story.open = true; });
for (const command of document.querySelectorAll(".command")) {
  if (!navigator.clipboard) break;
  const text = command.textContent, button = document.createElement("button");
  button.textContent = "copy";
  button.onclick = () => navigator.clipboard.writeText(text).then(() => { button.textContent = "copied"; });
  command.append(button);
}
const charts = document.querySelector(".charts"), readout = document.querySelector(".readout");
const table = document.querySelector("#timeline .figures");
if (charts && table) {
  const rows = [...table.tBodies[0].rows], heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const each = Number(table.dataset.each), end = Number(charts.dataset.end);
  let chosen = -1;
  const show = (place) => {
    chosen = Math.max(0, Math.min(rows.length - 1, place));
    const cells = [...rows[chosen].cells].map((cell, column) => `${heads[column]} ${cell.textContent}`);
    readout.textContent = cells.join(" · ");
    readout.hidden = false;
    const at = (Number(rows[chosen].dataset.from) + each / 2) / end * 100;
    for (const hair of charts.querySelectorAll(".hair")) { hair.hidden = false; hair.style.setProperty("--at", `${at}%`); }
  };
  const hide = () => { readout.hidden = true; for (const hair of charts.querySelectorAll(".hair")) hair.hidden = true; };
  for (const plot of charts.querySelectorAll(".plot")) {
    plot.addEventListener("pointermove", (event) => {
      const place = plot.getBoundingClientRect();
      show(Math.floor((event.clientX - place.left) / place.width * end / each));
    });
  }
  charts.addEventListener("pointerleave", hide);
  charts.addEventListener("blur", hide);
  charts.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { show(chosen + step); event.preventDefault(); }
    if (event.key === "Escape") hide();
  });
}
