// Builds the page into the folder named on the command line; `scripts/web` calls this.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const target = process.argv[2];
rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });

const { outputFiles } = await build({
  entryPoints: ["src/app.ts", "src/style.css"],
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  outdir: target,
  write: false,
});
const files = new Map(outputFiles.map((file) => [file.path.split("/").pop(), file.text]));
files.set("icon.svg", readFileSync("src/icon.svg", "utf8"));

// Files are named after their contents, so that browsers may cache them forever.
let page = readFileSync("src/index.html", "utf8");
for (const [name, text] of files) {
  const digest = createHash("sha256").update(text).digest("hex").slice(0, 10);
  const [stem, suffix] = name.split(".");
  const named = `${stem}-${digest}.${suffix}`;
  writeFileSync(`${target}/${named}`, text);
  page = page.replaceAll(`static/${name}`, `static/${named}`);
}
writeFileSync(`${target}/index.html`, page);
