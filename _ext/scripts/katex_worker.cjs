// Draws formulas for page_math.py: one request per line on stdin, one answer per line on stdout.
//
// request  {"tex": "x^2", "display": false, "macros": {}}
// answer   {"html": "<span class=...>"} or {"error": "what is wrong with the formula"}
"use strict";

const katex = require(process.argv[2]); // the folder of the npm package
const lines = require("node:readline").createInterface({ input: process.stdin });

lines.on("line", (line) => {
  const { tex, display, macros } = JSON.parse(line);
  let answer;
  try {
    const html = katex.renderToString(tex, {
      displayMode: display,
      macros,
      output: "htmlAndMathml", // what is seen, and what a screen reader reads
      strict: "ignore",
      throwOnError: true,
    });
    answer = { html };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
