// Draws the figures to the width they are given and in the page's colours, and switches the theme.
(() => {
  "use strict";
  const root = document.documentElement;
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const darkColours = read("page_dark_colours");
  const printWidth = 660;
  let printing = false;

  const isDark = () =>
    !printing && (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);

  const copy = (value) => structuredClone(value);

  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

  function merge(into, from) {
    for (const [key, value] of Object.entries(from)) {
      if (isObject(value) && isObject(into[key])) merge(into[key], value);
      else into[key] = copy(value);
    }
    return into;
  }

  // The palette's colours for a dark page, wherever a trace or a shape names one of them.
  function recoloured(value) {
    if (typeof value === "string") return darkColours[value] ?? value;
    if (Array.isArray(value)) {
      return typeof value[0] === "number" ? value : value.map(recoloured);
    }
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, recoloured(one)]));
  }

  // How the figure fits this width: see Fit in figures/style.py.
  function fitted(layout, width) {
    const fits = layout.meta?.fits;
    if (!fits) return merge(layout, { width });
    const fit = fits.find((one) => one.below !== null && width < one.below) ?? fits.at(-1);
    const missing = fit.width === null ? 0 : Math.max(0, fit.width - width);
    const height = Math.max(160, Math.round(fit.height - fit.slope * missing));
    return merge(merge(layout, fit.layout), { width: Math.min(width, fit.width ?? width), height });
  }

  function themed(layout) {
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const ink = colour("--plot-ink");
    const axis = {
      gridcolor: colour("--plot-grid"),
      linecolor: colour("--plot-axis"),
      tickcolor: colour("--plot-axis"),
      zerolinecolor: colour("--plot-axis"),
    };
    const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
    return merge(layout, {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink },
      hoverlabel: {
        bgcolor: colour("--raised"),
        bordercolor: colour("--plot-axis"),
        font: { color: colour("--ink") },
      },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--plot-axis"), activecolor: ink },
      uirevision: "kept",
      ...(touch ? { dragmode: false } : {}),
      ...Object.fromEntries(axes.map((key) => [key, merge(copy(layout[key]), axis)])),
    });
  }

  // Only buttons that work offline: plotly's own list would offer to send the data to its makers.
  const config = {
    displaylogo: false,
    displayModeBar: !touch,
    modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
    showSendToCloud: false,
    plotlyServerURL: "",
  };
  const plots = [...document.querySelectorAll("[data-figure]")];
  const figures = new Map(plots.map((plot) => [plot, read(plot.dataset.figure)]));
  const widths = new Map();

  function attempt(plot) {
    const figure = figures.get(plot);
    const width = printing ? Math.min(printWidth, plot.clientWidth) : plot.clientWidth;
    widths.set(plot, width);
    const data = isDark() ? recoloured(figure.data) : figure.data;
    const layout = themed(fitted(copy(figure.layout), width));
    if (isDark()) layout.shapes = recoloured(layout.shapes ?? []);
    Plotly.react(plot, copy(data), layout, config);
  }

  function anew(plot) {
    Plotly.purge(plot);
    plot.replaceChildren();
    attempt(plot);
  }

  // plotly cannot always carry a drawn figure over to a layout with other axes tied to each other
  // ("Something went wrong with axis scaling"): then it is drawn from the beginning.
  // One figure that cannot be drawn at all says so in its place and leaves the others alone.
  function draw(plot) {
    try {
      try {
        if (plot.querySelector(":scope > .notice")) anew(plot);
        else attempt(plot);
      } catch {
        anew(plot);
      }
    } catch (problem) {
      console.error(plot.id, problem);
      const notice = document.createElement("p");
      notice.className = "notice";
      notice.textContent = `This figure could not be drawn (${problem.message}). It shows: ${plot.ariaLabel}`;
      Plotly.purge(plot);
      plot.replaceChildren(notice);
    }
  }

  const drawAll = () => plots.forEach(draw);

  function retheme() {
    document.getElementById("page_theme_name").textContent = isDark() ? "Light" : "Dark";
    drawAll();
  }

  const button = document.getElementById("page_theme");
  button.hidden = false;
  button.setAttribute("aria-label", "Switch between light and dark");
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    retheme();
  });
  prefersDark.addEventListener("change", retheme);
  addEventListener("beforeprint", () => { printing = true; drawAll(); });
  addEventListener("afterprint", () => { printing = false; drawAll(); });

  retheme();
  const redraw = () => {
    if (!printing) plots.filter((plot) => plot.clientWidth !== widths.get(plot)).forEach(draw);
  };
  const resized = new ResizeObserver(() => requestAnimationFrame(redraw));
  plots.forEach((plot) => resized.observe(plot));

  // The table of contents marks the section that is being read.
  const links = new Map(
    [...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]),
  );
  const sections = [...document.querySelectorAll("main > section")];
  function mark() {
    const current = sections.findLast((one) => one.getBoundingClientRect().top < 120) ?? sections[0];
    for (const [id, link] of links) {
      if (id === current?.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
  addEventListener("scroll", mark, { passive: true });
  mark();
})();
