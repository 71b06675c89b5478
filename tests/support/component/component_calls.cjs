// Prints the calls of SCF's API that Tencent's own component makes of serverless.yml:
//
//     npm install tencent-component-toolkit@2.27.6     (in an empty folder, with a copy of this file)
//     python3 -c 'import json, yaml; print(json.dumps(yaml.safe_load(open("serverless.yml"))["inputs"]))' |
//         node component_calls.cjs > component_calls.json
const { readFileSync } = require("node:fs");
const { formatInputs } = require("tencent-component-toolkit/lib/modules/scf/utils");

const inputs = JSON.parse(readFileSync(0, "utf8"));
const triggers = inputs.events.map((event) => {
  const [[type, { parameters }]] = Object.entries(event);
  const Trigger = require(`tencent-component-toolkit/lib/modules/triggers/${type}`).default;
  const given = { functionName: inputs.name, namespace: "default", parameters };
  return new Trigger({}).formatInputs({ inputs: given }).triggerInputs;
});
console.log(JSON.stringify({ CreateFunction: formatInputs(inputs), CreateTrigger: triggers }, null, 2));
