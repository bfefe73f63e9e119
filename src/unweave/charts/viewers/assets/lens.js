// Stage down, position across; the likeliest token in each cell.
function draw(view) {
  const across = DATA.tokens.length;
  const last = DATA.stages.length - 1;
  const modes = [["probability of the first token", (s, p) => DATA.probabilities[s][p][0], [0, 1]]];
  if (DATA.entropy) {
    const most = Math.max(1e-6, ...DATA.entropy.flat().filter((one) => one !== null));
    modes.push(["entropy (nats)", (s, p) => DATA.entropy[s][p], [0, most]]);
  }
  let mode = 0;
  const cells = [], key = el("div", { class: "key" });
  const readout = el("p", { class: "readout", role: "status" }, "Point at a cell for the likeliest tokens; click to hold it.");
  const list = el("div", { class: "list" });
  const body = el("tbody");
  DATA.stages.forEach((stage, s) => {
    const row = el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, stage));
    DATA.tokens.forEach((_, p) => {
      const [first] = DATA.top[s][p];
      const cell = el("td", { role: "gridcell", class: first === DATA.top[last][p][0] ? "final" : "" }, el("bdi", {}, DATA.words[first]));
      cells.push(cell);
      row.append(cell);
    });
    body.append(row);
  });
  const header = el("tr", { role: "row" }, el("th", { role: "columnheader" }, "stage"),
    ...DATA.tokens.map((token, p) => el("th", { scope: "col", role: "columnheader" }, el("small", {}, String(p)), el("bdi", {}, token))));
  const table = el("table", { class: "lens", role: "grid", "aria-label": DATA.title }, el("thead", {}, header), body);
  roving(table, cells, () => across);
  pointing(table, cells, (at) => {
    const s = Math.floor(at / across), p = at % across;
    readout.replaceChildren(`stage ${DATA.stages[s]}, after position ${p}, `, el("bdi", { class: "token" }, DATA.tokens[p]),
      DATA.entropy ? ` \u2014 entropy ${number(DATA.entropy[s][p])} nats` : "");
    const final = DATA.top[last][p][0];
    list.replaceChildren(candidates(DATA.top[s][p].map((word, k) => [DATA.words[word], number(DATA.probabilities[s][p][k]), DATA.probabilities[s][p][k], word === final])));
  });
  function recolour() {
    const [what, value, limits] = modes[mode];
    key.replaceChildren(legend(view, limits, false, what));
    cells.forEach((cell, at) => {
      const one = value(Math.floor(at / across), at % across);
      paint(cell, one === null ? null : shade(view, one, limits, false));
    });
  }
  const bar = el("div", { class: "controls" });
  if (modes.length > 1) bar.append(choice("Colour by", modes.map(([what]) => what), 0, (chosen) => { mode = chosen; recolour(); }));
  bar.append(key);
  view.body.append(bar, el("div", { class: "scroll" }, table), readout, list, el("p", { class: "soft" }, "Bold: the token that the last stage puts first at that position."));
  view.redraws.push(recolour);
  recolour();
}
