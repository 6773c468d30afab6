/** The layout of design.md as rules. test/integration/layout.spec.ts plants a fault for each and sees it found. */
const PURE = '^libs/(contracts|domain|dto|signing|sealing)/';
const TECH = '^libs/(config|observability|persistence|queue|embedded-postgres)/';
const STAGE = '^libs/(endpoints|ingest|delivery|console)/';

export default {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'A cycle has no first file to read.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'pure-stays-pure',
      comment: 'Rules without I/O import only rules: they run in tests, in the SDK and in the browser alike.',
      severity: 'error',
      from: { path: PURE },
      to: { path: '^(libs|apps|migrations|test)/', pathNot: PURE },
    },
    {
      name: 'tech-below-stages',
      comment: 'Technology serves every stage and knows none.',
      severity: 'error',
      from: { path: TECH },
      to: { path: `${STAGE}|^apps/` },
    },
    {
      name: 'stages-meet-in-tables',
      comment:
        'Stages run in different processes in production: they meet in tables and jobs, not in imports.',
      severity: 'error',
      from: { path: '^libs/(endpoints|ingest|delivery|console)/' },
      to: { path: STAGE, pathNot: '^libs/$1/' },
    },
    {
      name: 'front-door',
      comment: 'Another lib is imported by its index.ts: what is inside may change.',
      severity: 'error',
      from: { path: '^(libs/([^/]+)|apps)/' },
      to: { path: '^libs/([^/]+)/src/(?!index\\.ts)', pathNot: '^libs/$2/' },
    },
    {
      name: 'apps-apart',
      comment: 'Apps are composition roots: what two of them need belongs in a lib.',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/[^/]+/', pathNot: '^apps/$1/' },
    },
    {
      name: 'libs-below-apps',
      comment: 'Imports point down.',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^apps/' },
    },
    {
      name: 'migrations-alone',
      comment: 'A migration runs unchanged for years; the libs do not.',
      severity: 'error',
      from: { path: '^migrations/' },
      to: { path: '^(libs|apps)/' },
    },
    {
      name: 'one-dialler',
      comment:
        'One module opens connections to customers’ URLs; any other way around the guard is an SSRF. Also by import() and require(), which the lint rule of the same purpose does not see; that one sees globals.',
      severity: 'error',
      from: {
        path: '^(libs|apps)/',
        pathNot:
          '^libs/delivery/src/http/|\\.spec\\.ts$|^libs/embedded-postgres/|^apps/cli/src/demo/|^apps/cli/src/up/refuse-taken-ports\\.ts$|^apps/worker/src/serve-health\\.ts$',
      },
      to: {
        path: '^(node:)?(http|https|net|tls|http2|dgram|dns|dns/promises)$|^undici$|node_modules/undici/',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'requests-are-the-apis',
      comment:
        'Nest, Fastify and what reads and documents requests are half of what a worker or a command would load and keep. Types cost nothing.',
      severity: 'error',
      from: { path: '^(libs/(?!dto/)|apps/(?!api/))', pathNot: '\\.spec\\.ts$' },
      to: {
        path: '^libs/dto/|node_modules/(@nestjs|fastify|class-validator|class-transformer)/',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'product-without-tests',
      comment: 'What ships does not import what only tests need.',
      severity: 'error',
      from: { path: '^(libs|apps|migrations)/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^test/' },
    },
    {
      name: 'product-without-dev-packages',
      comment: 'A development dependency is not there in production: undici is the bench’s and the tests’.',
      severity: 'error',
      from: { path: '^(libs|apps|migrations)/', pathNot: '\\.spec\\.ts$' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
