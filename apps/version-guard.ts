// The first import of every entry: what comes after it may not even parse on an older Node.
const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `Posthorn needs Node 22.19 or later, this is ${process.versions.node}. \`npm start\` brings a Node of its own.\n`,
  );
  process.exit(1);
}
