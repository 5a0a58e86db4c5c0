// Puts two pictures under a slider, as soon as there is one. Until then, and without it, they stand side by side.
customElements.whenDefined("img-comparison-slider").then(() => {
  for (const pair of document.querySelectorAll("p.before-after")) {
    const slider = document.createElement("img-comparison-slider");
    slider.tabIndex = 0;
    const pictures = [...pair.querySelectorAll("img")];
    slider.setAttribute("aria-label", pictures.map((picture) => picture.alt).join(" "));
    pictures.forEach((picture, i) => {
      picture.slot = ["first", "second"][i];
      slider.append(picture);
    });
    pair.replaceChildren(slider);
  }
});
