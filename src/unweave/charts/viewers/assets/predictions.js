// A text coloured by how likely each token was, with what was likelier.
function draw(view) {
  const chances = numbers(DATA.log_probs);
  const least = Math.min(-1e-6, ...chances.filter((one) => !Number.isNaN(one)));
  const limits = [0, -least];
  const { box, items } = tokenText(DATA.tokens, DATA.breaks, "Tokens");
  const head = el("p", { class: "readout", role: "status" }, "Point at a token to see what was predicted in its place; click to hold it.");
  const list = el("div", { class: "list" });
  const key = el("div", { class: "key" });
  function show(at) {
    if (at === 0) {
      head.replaceChildren("position 0, ", el("bdi", { class: "token" }, DATA.tokens[0]), " \u2014 nothing before it predicts it");
      list.replaceChildren();
      return;
    }
    const i = at - 1;
    head.replaceChildren(`position ${at}, `, el("bdi", { class: "token" }, DATA.tokens[at]), " \u2014 log-probability ",
      el("strong", {}, number(chances[i], 4)), ` nats (probability ${number(Math.exp(chances[i]))}), rank ${DATA.ranks[i]} (0 is the likeliest)`);
    list.replaceChildren(candidates(DATA.top[i].map((token, k) => [token, number(DATA.top_log_probs[i][k], 4), Math.exp(DATA.top_log_probs[i][k]), k === DATA.ranks[i]])));
  }
  pointing(box, items, show);
  function recolour() {
    key.replaceChildren(legend(view, limits, false, "surprise: \u2212log-probability (nats)"));
    items.forEach((item, at) => {
      const value = at ? -chances[at - 1] : NaN;
      paint(item, Number.isNaN(value) ? null : shade(view, value, limits, false));
      item.setAttribute("aria-label", at ? `${DATA.tokens[at]} ${number(-value, 4)} nats` : DATA.tokens[at]);
    });
  }
  view.body.append(el("div", { class: "controls" }, key), head, box, list);
  view.redraws.push(recolour);
  recolour();
}
