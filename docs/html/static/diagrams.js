// Draw the diagrams in the colours of the page, and again when a reader switches between light and dark.
const diagrams = [...document.querySelectorAll("pre.mermaid")];
const sources = diagrams.map((diagram) => diagram.textContent);

async function draw() {
  const theme = document.documentElement.dataset.theme === "dark" ? "dark" : "neutral";
  mermaid.initialize({ startOnLoad: false, theme });
  diagrams.forEach((diagram, i) => {
    diagram.removeAttribute("data-processed");
    diagram.textContent = sources[i];
  });
  await mermaid.run({ nodes: diagrams });
  for (const svg of document.querySelectorAll("pre.mermaid > svg")) {
    // It takes the width there is, up to its own; one too wide for that is scrolled, not made too small to read.
    svg.style.minWidth = `${0.55 * parseFloat(svg.style.maxWidth)}px`;
  }
}

draw();
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
