// Top-1 and top-k on photographs: the reader sets the true label, the page counts the errors.
// The functions above the line are plain arithmetic; below it is the page.
import { announcer, make, onceATurn, setAttribute, setText, words, uniqueId } from "./common.js";

export const UNKNOWN = -2; // the reader has not said yet what the photograph shows
export const OTHER = -1; // something that is not among the guesses

/** Whether an answer is right if k guesses count; null while the truth is open. */
export function isRight(truth, k) {
  if (truth === UNKNOWN) return null;
  return truth !== OTHER && truth < k;
}

/** { wrong, labelled }: photographs that are wrong under top-k, and those that have a label. */
export function errors(truths, k) {
  const known = truths.filter((truth) => truth !== UNKNOWN);
  return { wrong: known.filter((truth) => !isRight(truth, k)).length, labelled: known.length };
}

/** A share as a percentage with one decimal, without a trailing zero after the point. */
export function percentText(share) {
  return (100 * share).toFixed(1).replace(/\.0$/, "");
}

// ------------------------------------------------------------------------------------- the page

function render({ model, el }) {
  const text = words(model);
  const photographs = model.get("photographs");
  const number = photographs[0].guesses.length;
  const state = () => ({
    k: model.get("k"),
    chosen: model.get("chosen"),
    truths: model.get("truths"),
  });
  function change(traits) {
    for (const [name, value] of Object.entries(traits)) model.set(name, value);
    model.save_changes();
    draw.now();
  }

  // --- the photographs -------------------------------------------------------------------------

  const thumbnails = photographs.map(({ address }, index) =>
    make(
      "button",
      {
        type: "button",
        class: "cnn-topk-thumbnail",
        onclick: () => change({ chosen: index }),
      },
      make("img", { src: address, alt: "", width: 56, height: 56 }),
      make("span", { class: "cnn-topk-mark", "aria-hidden": "true" }),
    ),
  );
  const galleryTitle = make("p", { class: "cnn-title", id: uniqueId("topk") }, text("photographs"));
  const gallery = make(
    "div",
    { class: "cnn-topk-gallery", role: "group", "aria-labelledby": galleryTitle.id },
    galleryTitle,
    ...thumbnails,
  );
  const picture = make("img", { class: "cnn-topk-picture", width: 224, height: 224 });

  // --- how many guesses count ------------------------------------------------------------------

  const slider = make("input", {
    type: "range",
    min: "1",
    max: String(number),
    step: "1",
    oninput: () => change({ k: Number(slider.value) }),
  });
  // hidden from the label, which an <output> would take for its control; the slider says its value
  const shown = make("span", { class: "cnn-topk-k", "aria-hidden": "true" });
  const control = make(
    "label",
    { class: "cnn-field cnn-topk-control" },
    make("span", {}, text("k"), " = ", shown),
    slider,
  );

  // --- the guesses: one choice of many, as radio buttons ---------------------------------------

  const group = uniqueId("truth");
  function choice(value, ...content) {
    const input = make("input", {
      type: "radio",
      name: group,
      value: String(value),
      onchange: () => {
        const truths = [...model.get("truths")];
        truths[model.get("chosen")] = value;
        change({ truths });
        say(spoken());
      },
    });
    const truth = make("span", { class: "cnn-topk-true", "aria-hidden": "true" }, text("true"));
    const row = make("label", { class: "cnn-topk-guess" }, input, ...content, truth);
    return { value, input, row };
  }
  const rows = Array.from({ length: number }, (_, i) => {
    const name = make("span", { class: "cnn-topk-name" });
    const fill = make("span", { class: "cnn-topk-fill" });
    const percent = make("span", { class: "cnn-topk-percent" });
    const rank = make("span", { class: "cnn-topk-rank" }, String(i + 1));
    const bar = make("span", { class: "cnn-topk-bar", "aria-hidden": "true" }, fill);
    return { ...choice(i, rank, name, bar, percent), name, fill, percent };
  });
  const otherRest = make("span", { class: "cnn-topk-rest" });
  const otherName = make("span", { class: "cnn-topk-name" }, text("other"), " ", otherRest);
  const other = choice(
    OTHER,
    make("span", { class: "cnn-topk-rank", "aria-hidden": "true" }, "–"),
    otherName,
  );
  other.row.classList.add("cnn-topk-other");
  const border = make("p", { class: "cnn-topk-border" });
  const list = make(
    "fieldset",
    { class: "cnn-topk-list" },
    make("legend", { class: "cnn-title" }, text("question")),
    ...rows.map(({ row }) => row),
    border,
    other.row,
  );

  // --- what comes out --------------------------------------------------------------------------

  const verdicts = make("p", { class: "cnn-topk-verdicts" });
  const place = make("p", { class: "cnn-topk-place" });
  const tallyTitle = make("p", { class: "cnn-title" }, text("errors"));
  const labelled = make("p", {});
  const tallies = [make("p", { class: "cnn-topk-error" }), make("p", { class: "cnn-topk-error" })];
  const clear = make(
    "button",
    {
      type: "button",
      class: "cnn-topk-clear",
      onclick: () => change({ truths: photographs.map(() => UNKNOWN) }),
    },
    text("clear"),
  );
  const tally = make("div", { class: "cnn-topk-tally" }, tallyTitle, labelled, ...tallies, clear);

  const root = make(
    "div",
    { class: "cnn-widget cnn-topk", role: "group", "aria-label": text("name") },
    gallery,
    make(
      "div",
      { class: "cnn-topk-columns" },
      make("div", { class: "cnn-topk-look" }, picture, control),
      make("div", { class: "cnn-topk-say" }, list, verdicts, place),
      tally,
    ),
  );
  const say = announcer(root);

  /** The ks that are told: the first guess alone, and as many as the reader wants. */
  const told = (k) => (k === 1 ? [1] : [1, k]);
  function verdictText(truth, k) {
    const verdict = text(isRight(truth, k) ? "right" : "wrong");
    return text("verdict", { k, verdict });
  }
  function placeText(truth) {
    if (truth === UNKNOWN) return text("open");
    return truth === OTHER ? text("no_place", { number }) : text("place", { rank: truth + 1 });
  }
  function spoken() {
    const { k, chosen, truths } = state();
    const truth = truths[chosen];
    if (truth === UNKNOWN) return text("open");
    const all = told(k).map((one) => verdictText(truth, one));
    return text("spoken", { verdicts: all.join(", "), place: placeText(truth) });
  }

  function drawAll() {
    const { k, chosen, truths } = state();
    const { address, description, guesses } = photographs[chosen];
    const truth = truths[chosen];

    thumbnails.forEach((button, i) => {
      const name = photographs[i].description;
      const has = truths[i] !== UNKNOWN;
      setAttribute(button, "aria-pressed", String(i === chosen));
      setAttribute(button, "aria-label", has ? text("with_label", { name }) : name);
      setText(button.querySelector(".cnn-topk-mark"), has ? "✓" : "");
    });
    setAttribute(picture, "src", address);
    setAttribute(picture, "alt", description);

    slider.value = String(k);
    setText(shown, String(k));

    let rest = 1;
    rows.forEach(({ row, input, name, fill, percent, value }, i) => {
      const [word, share] = guesses[i];
      rest -= share;
      setText(name, word);
      setText(percent, text("percent", { percent: (100 * share).toFixed(1) }));
      fill.style.width = `${100 * share}%`;
      row.classList.toggle("cnn-topk-counts", i < k);
      row.classList.toggle("cnn-topk-chosen", value === truth);
      input.checked = value === truth;
    });
    other.input.checked = truth === OTHER;
    other.row.classList.toggle("cnn-topk-chosen", truth === OTHER);
    const left = { number: model.get("classes") - number, percent: percentText(Math.max(0, rest)) };
    setText(otherRest, `(${text("rest", left)})`);
    setText(border, text("border", { k }));
    // moving it takes the focus away from nothing: it can not have it
    if (rows[k - 1].row.nextSibling !== border) rows[k - 1].row.after(border);

    const known = truth !== UNKNOWN;
    verdicts.replaceChildren(
      ...(known ? told(k) : []).map((one) => {
        const kind = isRight(truth, one) ? "cnn-topk-right-answer" : "cnn-topk-wrong-answer";
        return make("span", { class: kind, "data-k": String(one) }, verdictText(truth, one));
      }),
    );
    verdicts.hidden = !known;
    setText(place, placeText(truth));

    const all = photographs.length;
    setText(labelled, text("labelled", { labelled: errors(truths, k).labelled, all }));
    tallies.forEach((line, i) => {
      const one = told(k)[i];
      line.hidden = one === undefined;
      if (one === undefined) return;
      const found = errors(truths, one);
      const share = percentText(found.wrong / found.labelled);
      const key = found.labelled === 0 ? "no_error" : "error";
      setAttribute(line, "data-k", String(one));
      setText(line, text(key, { k: one, ...found, percent: share }));
    });
  }

  const draw = onceATurn(drawAll);
  draw.now = drawAll;
  const traits = ["k", "chosen", "truths"];
  for (const trait of traits) model.on(`change:${trait}`, draw);
  drawAll();
  el.append(root);

  return () => {
    say.stop();
    for (const trait of traits) model.off(`change:${trait}`, draw);
  };
}

export default { render };
