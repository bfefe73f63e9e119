// Tokens coloured by the value of the chosen feature.
function draw(view) {
  const many = DATA.features.length > 1;
  let feature = 0, last = null;
  const texts = DATA.texts.map((text) => ({ ...text, values: text.values.map(numbers) }));
  const key = el("div", { class: "key" });
  const readout = el("p", { class: "readout", role: "status" }, "Point at a token to read its value; click to hold it.");
  const named = () => (many ? `${DATA.features[feature]}: ` : "");
  function show() {
    if (!last) return;
    const [text, at] = last;
    readout.replaceChildren(text.name ? `${text.name}, ` : "", `position ${at}, `, el("bdi", { class: "token" }, text.tokens[at]), ` \u2014 ${named()}`,
      el("strong", {}, number(text.values[feature][at], 4)), ` (${DATA.unit})`);
  }
  const boxes = texts.map((text) => {
    const { box, items } = tokenText(text.tokens, text.breaks, text.name || "Tokens");
    pointing(box, items, (at) => { last = [text, at]; show(); });
    return { text, box, items };
  });
  function recolour() {
    const limits = DATA.limits[feature];
    key.replaceChildren(legend(view, limits, DATA.diverging, many ? `${DATA.features[feature]}, ${DATA.unit}` : DATA.unit));
    for (const { text, items } of boxes) items.forEach((item, at) => {
      const value = text.values[feature][at];
      paint(item, Number.isNaN(value) ? null : shade(view, value, limits, DATA.diverging));
      item.setAttribute("aria-label", `${text.tokens[at]} ${number(value, 4)}`);
    });
    show();
  }
  const bar = el("div", { class: "controls" });
  if (many) bar.append(choice("Feature", DATA.features, 0, (chosen) => { feature = chosen; recolour(); }));
  bar.append(key);
  view.body.append(bar, readout);
  for (const { text, box } of boxes) {
    if (text.name) view.body.append(el("h4", {}, text.name));
    view.body.append(box);
  }
  view.redraws.push(recolour);
  recolour();
}
