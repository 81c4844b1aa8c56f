// Reads a JSON list of LogQL expressions; writes for each the positions of what Grafana's grammar cannot parse.
import { readFileSync } from "node:fs";
import { parser } from "@grafana/lezer-logql";

const wrong = JSON.parse(readFileSync(0)).map((expression) => {
  const positions = [];
  parser.parse(expression).iterate({
    enter: (node) => {
      if (node.type.isError) positions.push(node.from);
    },
  });
  return positions;
});
console.log(JSON.stringify(wrong));
