// Makes the quizzes of a page answerable.
//
// A chapter writes a quiz as plain text: <div class="quiz"> with the question, a list of choices, and
// the answers, one per choice, folded in <details>. That is what Colab, GitHub and a page without
// JavaScript show. Here the choices become radio buttons, and the reader learns about the one that
// he or she chose. The folded answers stay where they are.
"use strict";

(() => {
  // The contents of a list item, without the paragraph that Markdown may put around them.
  function contentsOf(item) {
    return [...item.childNodes].flatMap((node) => (node.nodeName === "P" ? [...node.childNodes] : [node]));
  }

  function element(name, properties = {}, children = []) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function enliven(quiz, number) {
    const labels = JSON.parse(quiz.dataset.labels);
    const list = quiz.querySelector(":scope > ul");
    const answers = [...(quiz.querySelector(":scope > details ul")?.children ?? [])];
    if (!list || list.children.length !== answers.length) return; // leave it as text
    const isRight = (answer) =>
      answer.querySelector("strong")?.textContent.toLowerCase().startsWith(labels.right);

    const question = list.previousElementSibling;
    question.id ||= `quiz-${number}`;
    const choices = [...list.children].map((item, index) => {
      const input = element("input", { type: "radio", name: `quiz-${number}`, value: index });
      const mark = element("span", { className: "quiz-mark" });
      mark.ariaHidden = "true"; // the feedback says the same in words
      const text = element("span", { className: "quiz-text" }, contentsOf(item));
      return element("label", { className: "quiz-choice" }, [input, text, mark]);
    });
    const group = element("div", { className: "quiz-choices" }, choices);
    group.role = "radiogroup";
    group.setAttribute("aria-labelledby", question.id);
    const button = element("button", { type: "submit", textContent: labels.check });
    const feedback = element("div", { className: "quiz-feedback" });
    feedback.role = "status"; // read out when it changes
    const form = element("form", { className: "quiz-form" }, [group, button, feedback]);

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = form.querySelector("input:checked");
      if (!chosen) {
        feedback.textContent = labels.choose;
        return;
      }
      const answer = answers[chosen.value];
      const choice = choices[chosen.value];
      choice.dataset.verdict = isRight(answer) ? "right" : "wrong";
      choice.querySelector(".quiz-mark").textContent = isRight(answer) ? "✓" : "✗";
      feedback.dataset.verdict = choice.dataset.verdict;
      feedback.replaceChildren(...contentsOf(answer.cloneNode(true)));
    });
    list.replaceWith(form);
    quiz.classList.add("live");
  }

  document.querySelectorAll("div.quiz").forEach(enliven);
})();
