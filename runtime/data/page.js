"use strict";

const POLL_MS = 250;
const KEYS = {
  " ": "pause", ".": "forward", ArrowRight: "forward", ",": "back", ArrowLeft: "back",
  m: "model", o: "overlays", b: "against", s: "save", q: "quit",
};
const byId = (id) => document.getElementById(id);
let gone = false;

function write(id, text) {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
}

function act(action) {
  // The header shows that this page asks: a form of another page can't send it.
  fetch(`/do/${action}`, { method: "POST", headers: { "X-Viewfinder": "1" } })
    .then(() => setTimeout(update, 60), () => undefined);
}

function centimetres(iris, side) {
  const depth = iris[`${side}_depth_m`];
  if (depth === undefined) return null;
  const error = iris[`${side}_depth_error_m`];
  const more = error === undefined ? "" : ` ± ${(100 * error).toFixed(0)}`;
  return `${side} eye ${(100 * depth).toFixed(0)}${more} cm`;
}

function facts(subject) {
  const said = [subject.score.toFixed(2)];
  if (subject.gesture) said.push(`${subject.gesture.name} ${subject.gesture.score.toFixed(2)}`);
  for (const side of ["left", "right"]) {
    const depth = subject.iris && centimetres(subject.iris, side);
    if (depth) said.push(depth);
  }
  for (const [name, value] of Object.entries(subject.blendshapes || {})) {
    said.push(`${name} ${value.toFixed(2)}`);
  }
  if (subject.mask !== undefined) said.push(`${(100 * subject.mask).toFixed(1)} % of the picture`);
  if (subject.size_m) said.push(subject.size_m.map((side) => side.toFixed(2)).join(" x "));
  return said.join(", ");
}

function kind(subject) {
  const name = { face: "face", hand: "hand", pose: "body", cuboid: "object", "": "subject" }[
    subject.topology.split("@")[0].replace(/\d+$/, "")] || subject.topology;
  return `${subject.handedness ? subject.handedness + " " : ""}${name} ${subject.id}`;
}

function row(cells) {
  const line = document.createElement("tr");
  for (const text of cells) line.insertCell().textContent = text;
  return line;
}

function show(status) {
  if (!status.number) return;
  write("model", status.model || "model");
  write("fps", status.fps ? `${status.fps.toFixed(0)} fps` : "–");
  write("ms", `${status.ms.toFixed(1)} ms`);
  write("dropped", String(status.dropped));
  write("frame", status.back ? `${status.frame} (-${status.back})` : String(status.frame));
  write("seconds", `${status.seconds.toFixed(2)} s`);
  write("source", `${status.source}, ${status.width} x ${status.height}`);
  const against = status.against;
  for (const id of ["second", "ms2-box", "difference-box", "against"]) byId(id).hidden = !against;
  if (against) {
    write("second", against.model);
    write("ms2", `${against.ms.toFixed(1)} ms`);
    write("difference", against.words);
    byId("against").lastElementChild.textContent = status.view;
  }
  byId("overlays").setAttribute("aria-pressed", String(status.overlays));
  byId("pause").classList.toggle("paused", status.paused);
  byId("pause").lastElementChild.textContent = status.paused ? "go on" : "pause";
  write("count", String(status.subjects.length));
  byId("subjects").replaceChildren(
    ...status.subjects.map((subject) => row([kind(subject), facts(subject)])));
  byId("message").hidden = !status.message;
  write("message", status.message);
  const state = byId("state");
  state.className = status.paused ? "state paused" : "state live";
  write("state", status.paused ? "paused" : "live");
  if (!byId("key-rows").children.length) {
    // Here Esc closes what lists the keys.
    const keys = status.keys.map(([key, what]) => [key.replace(" or Esc", ""), what]);
    byId("key-rows").replaceChildren(...keys.map(row));
  }
}

function update() {
  return fetch("/status").then((answer) => {
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  }).then((status) => {
    if (gone) byId("view").src = `/stream?${Date.now()}`;  // the run is back
    gone = false;
    show(status);
  }).catch(() => {
    gone = true;
    byId("state").className = "state gone";
    write("state", "stopped");
  });
}

function openKeys() {
  const keys = byId("keys");
  if (keys.open) keys.close(); else keys.showModal();
}

for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => { act(button.dataset.action); button.blur(); });
}
byId("help").addEventListener("click", openKeys);
byId("close-keys").addEventListener("click", openKeys);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "h" || event.key === "?") openKeys();
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  act(action);
});
setInterval(update, POLL_MS);
update();
