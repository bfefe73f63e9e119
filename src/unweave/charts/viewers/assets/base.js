// What the views share. All text enters the page as text, never as markup.
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-")) node.setAttribute(name, String(value));
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

const MINUS = "\u2212";
function number(value, digits = 3) {
  if (value === null || Number.isNaN(value)) return "none";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
  return text.replace(/-/g, MINUS);
}
const quoted = (token) => `\u201c${token}\u201d`;

// Numbers come rounded in a list, or as little-endian float16 in base64 over a common factor.
function numbers(given) {
  if (Array.isArray(given)) return given.map((one) => (one === null ? NaN : one));
  const bytes = Uint8Array.from(atob(given.f16), (sign) => sign.charCodeAt(0));
  const out = new Float32Array(given.n);
  for (let i = 0; i < given.n; i++) out[i] = half(bytes[2 * i] | (bytes[2 * i + 1] << 8)) * given.by;
  return out;
}
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, power = (bits >> 10) & 31, part = bits & 1023;
  if (power === 0) return sign * part * 2 ** -24;
  if (power === 31) return part ? NaN : sign * Infinity;
  return sign * (1 + part / 1024) * 2 ** (power - 15);
}

// Colours: stops of the palette, mixed evenly; the ink on them is black or white, whichever reads better.
const parsed = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
function mixed(stops, at) {
  const place = Math.min(1, Math.max(0, at)) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  const [from, to] = [parsed(stops[low]), parsed(stops[low + 1])];
  return from.map((one, i) => Math.round(one + (to[i] - one) * (place - low)));
}
const css = (rgb) => `rgb(${rgb.join(", ")})`;
function luminance(rgb) {
  const [r, g, b] = rgb.map((one) => (one / 255 <= 0.03928 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const inkOn = (rgb) => (luminance(rgb) > 0.179 ? "#000" : "#fff");
const stopsOf = (dark, diverging) => DATA.palette[dark ? "dark" : "light"][diverging ? "both" : "up"];
function shade(view, value, [low, high], diverging) {
  return mixed(stopsOf(view.dark, diverging), (value - low) / (high - low));
}
function paint(node, rgb) {
  node.style.backgroundColor = rgb ? css(rgb) : "";
  node.style.color = rgb ? inkOn(rgb) : "";
}

// The colour scale with its ends, zero where it diverges, and what is measured.
function legend(view, limits, diverging, what) {
  const bar = el("span", { class: "ramp" });
  bar.style.background = `linear-gradient(to right, ${stopsOf(view.dark, diverging).join(", ")})`;
  const ends = diverging ? [limits[0], 0, limits[1]] : limits;
  const ticks = el("span", { class: "ticks" }, ...ends.map((end) => el("span", {}, number(end))));
  return el("div", { class: "legend", role: "img", "aria-label": `Colours: ${what}, from ${number(limits[0])} to ${number(limits[1])}` },
    el("span", {}, bar, ticks), el("span", { class: "what" }, what));
}

// A list of candidates with bars: [label, value, length from 0 to 1, marked].
function candidates(rows, empty = "") {
  if (!rows.length) return el("p", { class: "soft" }, empty);
  return el("ol", { class: "bars" }, ...rows.map(([label, value, length, marked]) => {
    const bar = el("span", { class: "bar" });
    bar.style.width = `${Math.round(100 * Math.min(1, Math.max(0, length)))}%`;
    return el("li", { class: marked ? "marked" : "" }, el("bdi", { class: "token" }, label), el("span", { class: "track" }, bar), el("span", { class: "figure" }, value));
  }));
}

function choice(label, options, chosen, change) {
  const select = el("select", { onchange: () => change(Number(select.value)) },
    ...options.map((option, at) => el("option", { value: at, selected: at === chosen }, option)));
  return el("label", { class: "choice" }, el("span", {}, label), select);
}

// One stop of the Tab key for a set of elements; the arrow keys, Home and End move within it.
function roving(box, items, across = () => 1) {
  let at = 0;
  const tabs = () => items.forEach((item, i) => { item.tabIndex = i === at ? 0 : -1; });
  tabs();
  box.addEventListener("focusin", (event) => {
    const found = items.indexOf(event.target);
    if (found >= 0) { at = found; tabs(); }
  });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across(), ArrowUp: -across() }[event.key];
    let to = step ? at + step : event.key === "Home" ? 0 : event.key === "End" ? items.length - 1 : null;
    if (to === null) return;
    event.preventDefault();
    to = Math.min(items.length - 1, Math.max(0, to));
    items[to].focus();
  });
}

// A text as buttons, one a token; a line ends after a token that holds a line end.
function tokenText(tokens, breaks, label) {
  const ends = new Set(breaks);
  const items = tokens.map((token, at) => el("button", { type: "button", class: "piece", "data-at": at }, el("bdi", {}, token)));
  const box = el("div", { class: "text", role: "group", "aria-label": label });
  items.forEach((item, at) => { box.append(item); if (ends.has(at)) box.append(el("br")); });
  roving(box, items);
  return { box, items };
}

// Pointing or moving the focus shows an item, clicking or Enter holds it, Escape or a second click lets go.
function pointing(box, items, show) {
  let held = null;
  const index = (event) => items.indexOf(event.target.closest("button, [role=gridcell]"));
  const mark = () => items.forEach((item, at) => {
    item.classList.toggle("held", at === held);
    item.setAttribute(item.getAttribute("role") === "gridcell" ? "aria-selected" : "aria-pressed", at === held);
  });
  const point = (event) => { const at = index(event); if (at >= 0 && held === null) show(at); };
  box.addEventListener("pointerover", point);
  box.addEventListener("focusin", point);
  box.addEventListener("click", (event) => {
    const at = index(event);
    if (at < 0) return;
    held = held === at ? null : at;
    mark();
    show(at);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && index(event) >= 0 && items[0].tagName !== "BUTTON") event.target.click();
    if (event.key === "Escape" && held !== null) { held = null; mark(); event.stopPropagation(); }
  });
  mark();
}
