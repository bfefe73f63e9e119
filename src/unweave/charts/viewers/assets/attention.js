// All heads small, one or two large; a cell or a token tells what it holds.
function draw(view) {
  const prompts = DATA.prompts.map(unpacked);
  const state = { slots: [{ prompt: 0, head: 0, held: false }], active: 0, scale: 0, side: "query", at: null, held: false };
  const thumbs = DATA.heads.map((name, head) => {
    const canvas = el("canvas", { "aria-hidden": true });
    return el("button", { type: "button", class: "thumb", "data-head": head, "aria-pressed": false }, canvas, el("span", {}, name));
  });
  const strip = el("div", { class: "thumbs", role: "group", "aria-label": "Heads" });
  for (let from = 0; from < thumbs.length; from += DATA.across) strip.append(el("div", { class: "layer" }, ...thumbs.slice(from, from + DATA.across)));
  roving(strip, thumbs, () => (thumbs.length > DATA.across ? DATA.across : 1));
  const key = el("div", { class: "key" }), panels = el("div", { class: "panels" });
  const compare = el("button", { type: "button", class: "switch", "aria-pressed": false, onclick: toggleCompare }, "Compare");
  const hint = el("p", { class: "readout", role: "status" });
  const controls = el("div", { class: "controls" }, compare);
  controls.append(choice("A token's", ["keys (where it looks)", "queries (who looks at it)"], 0, (chosen) => { state.side = chosen ? "key" : "query"; refresh(); }));
  controls.append(choice("Colours", ["one scale for all", "each head's own maximum"], 0, (chosen) => { state.scale = chosen; everything(); }));
  controls.append(key);
  view.body.append(strip, controls, hint, panels);

  function unpacked(prompt) {
    const n = prompt.tokens.length, values = numbers(prompt.values), size = prompt.causal ? (n * (n + 1)) / 2 : n * n;
    const get = (head, q, k) => (prompt.causal ? (k > q ? 0 : values[head * size + (q * (q + 1)) / 2 + k]) : values[head * size + q * n + k]);
    return { ...prompt, n, get, masked: (q, k) => prompt.causal && k > q };
  }
  function limitsOf({ prompt, head }) {
    if (state.scale === 0) return DATA.limits;
    const { n, get } = prompts[prompt];
    let most = 1e-9;
    for (let q = 0; q < n; q++) for (let k = 0; k < n; k++) { const v = Math.abs(get(head, q, k)); if (v > most) most = v; }
    return DATA.diverging ? [-most, most] : [Math.min(0, DATA.limits[0]), most];
  }
  const colourOf = (value, limits, diverging) => (Number.isNaN(value) ? null : shade(view, value, limits, diverging));

  // A thumbnail keeps the greatest value of the cells that share a pixel, so that no sharp pattern is lost.
  function thumbnail(canvas, slot) {
    const { n, get } = prompts[slot.prompt], side = Math.min(n, 48), limits = limitsOf(slot);
    canvas.width = canvas.height = side;
    const image = new ImageData(side, side);
    const best = new Float32Array(side * side).fill(NaN);
    for (let q = 0; q < n; q++) for (let k = 0; k < n; k++) {
      const i = Math.floor((q * side) / n) * side + Math.floor((k * side) / n), v = get(slot.head, q, k);
      if (!(Math.abs(best[i]) >= Math.abs(v))) best[i] = v;
    }
    best.forEach((v, i) => image.data.set([...(colourOf(v, limits, DATA.diverging) ?? [127, 127, 127]), 255], 4 * i));
    canvas.getContext("2d").putImageData(image, 0, 0);
  }
  function drawThumbs() {
    const { prompt } = state.slots[state.active];
    thumbs.forEach((thumb, head) => thumbnail(thumb.firstChild, { prompt, head }));
  }
  function markThumbs() {
    thumbs.forEach((thumb, head) => {
      const letters = state.slots.flatMap((slot, i) => (slot.head === head && state.slots.length > 1 ? ["AB"[i]] : []));
      thumb.classList.toggle("chosen", state.slots.some((slot) => slot.head === head));
      thumb.setAttribute("aria-pressed", state.slots.some((slot) => slot.head === head && slot.held));
      thumb.dataset.letters = letters.join("");
    });
  }
  const headOf = (event) => { const thumb = event.target.closest(".thumb"); return thumb ? thumbs.indexOf(thumb) : -1; };
  function preview(event) {
    const head = headOf(event), slot = state.slots[state.active];
    if (head < 0 || slot.held || slot.head === head) return;
    slot.head = head;
    rebuild();
  }
  strip.addEventListener("pointerover", preview);
  strip.addEventListener("focusin", preview);
  strip.addEventListener("click", (event) => {
    const head = headOf(event), slot = state.slots[state.active];
    if (head < 0) return;
    slot.held = !(slot.held && slot.head === head);
    slot.head = head;
    rebuild();
  });
  view.body.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (state.held) state.held = false;
    else state.slots[state.active].held = false;
    markThumbs();
    refresh();
  });
  function toggleCompare() {
    if (state.slots.length === 1) {
      const [a] = state.slots;
      a.held = true;
      const other = prompts.length > 1 ? { prompt: (a.prompt + 1) % prompts.length, head: a.head } : { prompt: a.prompt, head: (a.head + 1) % thumbs.length };
      state.slots.push({ ...other, held: false });
      state.active = 1;
    } else {
      state.slots.pop();
      state.active = 0;
    }
    compare.setAttribute("aria-pressed", state.slots.length > 1);
    everything();
  }

  let parts = [];
  function rebuild() {
    const shown = state.slots.map((slot, i) => panel(slot, i));
    const [a, b] = state.slots;
    if (b && prompts[a.prompt].n === prompts[b.prompt].n) shown.push(difference(a, b));
    parts = shown;
    panels.replaceChildren(...shown.map((one) => one.box));
    panels.classList.toggle("several", shown.length > 1);
    markThumbs();
    shown.forEach((one) => one.size());
    refresh();
  }
  function panel(slot, i) {
    const prompt = prompts[slot.prompt], two = state.slots.length > 1;
    const name = `${two ? `${"AB"[i]}: ` : ""}${DATA.heads[slot.head]}`;
    const title = two
      ? el("button", { type: "button", class: "switch", "aria-pressed": state.active === i, "aria-label": `${name}: choose its head`, onclick: () => { state.active = i; everything(); } }, name)
      : el("strong", {}, name);
    const head = el("div", { class: "head" }, title);
    if (prompts.length > 1) head.append(choice("Prompt", prompts.map((one) => one.name), slot.prompt, (chosen) => { slot.prompt = chosen; everything(); }));
    const limits = limitsOf(slot);
    const made = matrix(name, prompt, (q, k) => prompt.get(slot.head, q, k), limits, DATA.diverging);
    const text = tokenText(prompt.tokens, [], `Tokens, ${name}`);
    const point = (event) => {
      const at = text.items.indexOf(event.target.closest("button"));
      if (at < 0) return;
      const place = state.side === "query" ? { q: at, k: null } : { q: null, k: at };
      if (event.type === "click") hold(place);
      else aim(place);
    };
    for (const kind of ["pointerover", "focusin", "click"]) text.box.addEventListener(kind, point);
    const list = el("div", { class: "list" });
    function tell() {
      made.tell();
      const { at } = state;
      const own = at && (state.side === "query" ? at.q ?? at.k : at.k ?? at.q);
      text.items.forEach((item, j) => {
        const value = !at || own >= prompt.n ? NaN : state.side === "query" ? prompt.get(slot.head, own, j) : prompt.get(slot.head, j, own);
        paint(item, colourOf(value, limits, DATA.diverging));
        item.classList.toggle("own", at !== null && j === own);
        item.classList.toggle("held", state.held && j === own);
        item.setAttribute("aria-label", `${prompt.tokens[j]}${at ? ` ${number(value)}` : ""}`);
      });
      list.replaceChildren(at && own < prompt.n ? strongest(prompt, slot, own, limits) : "");
    }
    return { box: el("div", { class: "panel" }, head, made.box, el("div", { class: "beside" }, text.box, list)), tell, size: made.size, name, slot };
  }
  function strongest(prompt, slot, own, limits) {
    const all = prompt.tokens.map((token, j) => [j, token, state.side === "query" ? prompt.get(slot.head, own, j) : prompt.get(slot.head, j, own)]);
    const most = Math.max(Math.abs(limits[0]), Math.abs(limits[1]));
    const rows = all.filter(([, , v]) => v).sort((x, y) => Math.abs(y[2]) - Math.abs(x[2])).slice(0, 5);
    return candidates(rows.map(([j, token, v]) => [`${j} ${token}`, number(v), Math.abs(v) / most, false]), "nothing");
  }
  function difference(a, b) {
    const [pa, pb] = [prompts[a.prompt], prompts[b.prompt]];
    const get = (q, k) => pb.get(b.head, q, k) - pa.get(a.head, q, k);
    let most = 1e-9;
    for (let q = 0; q < pa.n; q++) for (let k = 0; k < pa.n; k++) { const v = Math.abs(get(q, k)); if (v > most) most = v; }
    const made = matrix("B \u2212 A", pb, get, [-most, most], true);
    const box = el("div", { class: "panel" }, el("div", { class: "head" }, el("strong", {}, "B \u2212 A")), made.box, legend(view, [-most, most], true, `difference of ${DATA.value}`));
    return { box, tell: made.tell, size: made.size, name: "B \u2212 A", get };
  }

  // The pattern as a canvas with the tokens beside it where there is room for them.
  function matrix(name, prompt, get, limits, diverging) {
    const { n, tokens } = prompt, canvas = el("canvas", { tabindex: 0, role: "img" });
    const axis = el("p", { class: "axis" }, "query \u2193, key \u2192");
    const box = el("div", { class: "matrix" }, axis, el("div", { class: "scroll" }, canvas));
    let cell = 1, left = 0, top = 0, base = null;
    const ratio = Math.max(1, window.devicePixelRatio || 1);
    const ink = () => getComputedStyle(view.body).color;
    const short = (token) => (token.length > 11 ? `${token.slice(0, 10)}\u2026` : token);
    function size() {
      const room = box.clientWidth || 300;
      const context = canvas.getContext("2d");
      context.font = "11px ui-monospace, Menlo, Consolas, monospace";
      const longest = Math.max(...tokens.map((token) => context.measureText(short(token)).width)) + 8;
      const labelled = (room - longest) / n >= 11;
      left = labelled ? Math.ceil(longest) : 0;
      top = labelled ? Math.ceil(longest) : 0;
      cell = Math.min(26, Math.max(1, Math.floor((room - left - 2) / n)));
      canvas.width = Math.round((left + n * cell + 2) * ratio);
      canvas.height = Math.round((top + n * cell + 2) * ratio);
      canvas.style.width = `${left + n * cell + 2}px`;
      canvas.style.height = `${top + n * cell + 2}px`;
      base = document.createElement("canvas");
      base.width = canvas.width;
      base.height = canvas.height;
      const pen = base.getContext("2d");
      pen.scale(ratio, ratio);
      pen.font = context.font;
      for (let q = 0; q < n; q++) for (let k = 0; k < n; k++) {
        const rgb = prompt.masked(q, k) ? null : colourOf(get(q, k), limits, diverging);
        pen.fillStyle = rgb ? css(rgb) : "rgba(127, 127, 127, 0.16)";
        pen.fillRect(left + k * cell, top + q * cell, cell, cell);
      }
      pen.strokeStyle = "rgba(127, 127, 127, 0.6)";
      pen.strokeRect(left + 0.5, top + 0.5, n * cell, n * cell);
      if (labelled) tokens.forEach((token, j) => {
        pen.fillStyle = ink();
        pen.textBaseline = "middle";
        pen.textAlign = "right";
        pen.fillText(short(token), left - 4, top + (j + 0.5) * cell);
        pen.save();
        pen.translate(left + (j + 0.5) * cell, top - 4);
        pen.rotate(-Math.PI / 2);
        pen.textAlign = "left";
        pen.fillText(short(token), 0, 0);
        pen.restore();
      });
      tell();
    }
    function tell() {
      if (!base) return;
      const pen = canvas.getContext("2d");
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.clearRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(base, 0, 0);
      pen.scale(ratio, ratio);
      pen.strokeStyle = view.dark ? "#ffb454" : "#c2410c";
      pen.lineWidth = state.held ? 2 : 1;
      const { at } = state;
      if (at?.q != null && at.q < n) pen.strokeRect(left + 0.5, top + at.q * cell + 0.5, n * cell, cell);
      if (at?.k != null && at.k < n) pen.strokeRect(left + at.k * cell + 0.5, top + 0.5, cell, n * cell);
      const both = at?.q != null && at.k != null && at.q < n && at.k < n;
      canvas.setAttribute("aria-label", `${name}, ${n} by ${n}; arrow keys move, Enter holds${both ? `; ${number(get(at.q, at.k))}` : ""}`);
    }
    function place(event) {
      const around = canvas.getBoundingClientRect();
      const k = Math.floor((event.clientX - around.left - left) / cell), q = Math.floor((event.clientY - around.top - top) / cell);
      const inside = (i) => i >= 0 && i < n;
      if (inside(q) && inside(k)) return { q, k };
      if (inside(q)) return { q, k: null };
      return inside(k) ? { q: null, k } : null;
    }
    canvas.addEventListener("pointermove", (event) => { const to = place(event); if (to) aim(to); });
    canvas.addEventListener("click", (event) => { const to = place(event); if (to) hold(to); });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      const { q = 0, k = 0 } = state.at ?? {};
      const near = (i) => Math.min(n - 1, Math.max(0, i));
      if (event.key === "Enter") hold({ q: q ?? 0, k: k ?? 0 });
      else if (step) { state.held = false; aim(state.at ? { q: near((q ?? 0) + step[0]), k: near((k ?? 0) + step[1]) } : { q: 0, k: 0 }); }
      else return;
      event.preventDefault();
    });
    return { box, size, tell };
  }
  function aim(to) {
    if (state.held || (state.at && state.at.q === to.q && state.at.k === to.k)) return;
    state.at = to;
    refresh();
  }
  function hold(to) {
    const same = state.held && state.at?.q === to.q && state.at?.k === to.k;
    state.at = to;
    state.held = !same;
    refresh();
  }
  function refresh() {
    parts.forEach((part) => part.tell());
    const { at } = state;
    if (!at) {
      hint.replaceChildren("Point at a head, a cell or a token; click to hold it, Escape to let go.");
      return;
    }
    const pieces = [], [{ prompt }] = state.slots, { tokens, n } = prompts[prompt];
    const named = (what, i) => [`${what} ${i} `, el("bdi", { class: "token" }, i < n ? tokens[i] : "\u2014")];
    if (at.q !== null) pieces.push(...named("query", at.q));
    if (at.q !== null && at.k !== null) pieces.push(" \u2192 ");
    if (at.k !== null) pieces.push(...named("key", at.k));
    if (at.q !== null && at.k !== null) for (const part of parts) {
      const own = part.slot ? prompts[part.slot.prompt] : prompts[prompt];
      if (at.q >= own.n || at.k >= own.n) continue;
      const value = part.get ? part.get(at.q, at.k) : own.get(part.slot.head, at.q, at.k);
      const masked = own.masked(at.q, at.k) || Number.isNaN(value);
      pieces.push(` \u2014 ${part.name} `, el("strong", {}, masked ? "masked" : number(value)));
    }
    hint.replaceChildren(...pieces, state.held ? " (held)" : "");
  }
  function everything() {
    key.replaceChildren(state.scale === 0 ? legend(view, DATA.limits, DATA.diverging, DATA.value) : el("span", { class: "what" }, `${DATA.value}: darkest is each head's own maximum`));
    drawThumbs();
    rebuild();
  }
  view.redraws.push(everything);
  view.resizes.push(() => parts.forEach((part) => part.size()));
  everything();
}
