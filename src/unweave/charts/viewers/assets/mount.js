// Light or dark as the notebook says; else as the page behind looks; else as the system prefers.
function isDark(host) {
  const { body, documentElement: root } = document;
  const jupyter = body?.dataset.jpThemeLight;
  if (jupyter) return jupyter === "false";
  const code = body?.dataset.vscodeThemeKind ?? body?.className ?? "";
  if (/vscode-(high-contrast-light|light)/.test(code)) return false;
  if (/vscode-(dark|high-contrast)/.test(code)) return true;
  for (const said of [root.getAttribute("theme"), root.dataset.theme, root.dataset.bsTheme]) {
    if (said === "dark" || said === "light") return said === "dark";
  }
  for (let node = host.parentElement; node; node = node.parentElement) {
    const found = getComputedStyle(node).backgroundColor.match(/[\d.]+/g)?.map(Number);
    if (found && (found.length < 4 || found[3] > 0.5)) return luminance(found.slice(0, 3)) < 0.179;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function mount(host) {
  host.setAttribute("data-drawn", "");
  // With a shadow root, what stood in the host (the plain text) is no longer shown.
  const shadow = host.attachShadow({ mode: "open" });
  const body = el("section", { class: "viewer", "aria-label": DATA.title });
  shadow.append(el("style"), body);
  shadow.firstChild.textContent = STYLE;
  const view = { host, body, dark: isDark(host), redraws: [], resizes: [] };
  const theme = () => body.setAttribute("data-dark", view.dark);
  theme();
  body.append(el("h3", {}, DATA.title));
  draw(view);
  const check = () => {
    if (!host.isConnected || isDark(host) === view.dark) return;
    view.dark = !view.dark;
    theme();
    view.redraws.forEach((redraw) => redraw());
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", check);
  const watch = new MutationObserver(check);
  const attributes = { attributes: true, attributeFilter: ["class", "theme", "data-theme", "data-bs-theme", "data-jp-theme-light", "data-vscode-theme-kind"] };
  watch.observe(document.documentElement, attributes);
  if (document.body) watch.observe(document.body, attributes);
  let width = body.clientWidth;
  new ResizeObserver(() => {
    check();
    if (body.clientWidth === width || !body.clientWidth) return;
    width = body.clientWidth;
    requestAnimationFrame(() => view.resizes.forEach((resize) => resize()));
  }).observe(body);
}

for (const host of document.querySelectorAll(`[data-unweave-viewer="${KEY}"]:not([data-drawn])`)) mount(host);
