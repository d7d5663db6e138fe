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
    // Its own width is the most it takes; on a phone it is scrolled rather than made too small to read.
    svg.style.minWidth = `${0.7 * parseFloat(svg.style.maxWidth)}px`;
  }
}

draw();
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
