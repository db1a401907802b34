// Counts times down and puts in what the server sends; without it the page
// says the same after a reload.
"use strict";

const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function span(seconds) {
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  const [name, size] = units[first];
  const text = `${Math.floor(seconds / size)} ${name}`;
  const next = units[first + 1];
  const rest = next ? Math.floor((seconds % size) / next[1]) : 0;
  return rest > 0 ? `${text} ${rest} ${next[0]}` : text;
}

function tell(time, now) {
  const at = Number(time.dataset.at);
  switch (time.dataset.as) {
    case "left": return at > now ? `${span(at - now)} left` : "expired";
    case "in": return at > now ? `in ${span(at - now)}` : "now";
    default: return now - at < 1 ? "just now" : `${span(now - at)} ago`;
  }
}

function tick() {
  const now = Math.floor(Date.now() / 1000);
  for (const time of document.querySelectorAll("time[data-at]")) {
    const text = tell(time, now);
    if (time.textContent !== text) time.textContent = text;
  }
  for (const bar of document.querySelectorAll(".bar")) {
    const from = Number(bar.dataset.from), until = Number(bar.dataset.until);
    const left = Math.max(0, Math.min(1, (until - now) / Math.max(1, until - from)));
    bar.querySelector(".left").setAttribute("width", (left * 100).toFixed(1));
  }
}

// A part is replaced as a whole; what had the focus in it has it again.
function put({ id, html, inside }) {
  const old = document.getElementById(id);
  if (!old) return;
  const focused = old.contains(document.activeElement)
    ? [...old.querySelectorAll("a,button")].indexOf(document.activeElement) : -1;
  const made = new DOMParser().parseFromString(html, "text/html").body;
  if (inside) {
    old.replaceChildren(...made.childNodes);
  } else {
    const fresh = made.firstElementChild;
    fresh.classList.add("fresh");
    old.replaceWith(fresh);
  }
  tick();
  if (focused >= 0) document.getElementById(id).querySelectorAll("a,button")[focused]?.focus();
}

function listen(address) {
  const live = document.getElementById("live");
  const say = (text, on) => { live.textContent = text; live.classList.toggle("on", on); };
  const events = new EventSource(address);
  events.onopen = () => say("Live", true);
  events.onerror = () => say("Not live: reload to update", false);
  events.addEventListener("part", (event) => put(JSON.parse(event.data)));
  events.addEventListener("reload", () => location.reload());
  addEventListener("pagehide", () => events.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

tick();
setInterval(tick, 1000);
if (document.body.dataset.events) listen(document.body.dataset.events);
