# Two stages: what builds, and what runs. The second has no compiler, no tests and no root.
FROM node:26-bookworm-slim AS build
WORKDIR /posthorn
COPY package.json package-lock.json ./
# The image brings Node, and production brings PostgreSQL: the packages that hold their binaries stay out.
# No install scripts: nothing needs one, and one (@scarf/scarf) would report this build to its maker.
RUN npm ci --no-audit --no-fund --ignore-scripts --omit=optional
COPY . .
RUN npx nest build && npm prune --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:26-bookworm-slim
# The last: apps/node-options.ts. A worker's own stand in its command, which outweighs this.
ENV NODE_ENV=production HOST=0.0.0.0 NODE_OPTIONS=--max-semi-space-size=16
WORKDIR /posthorn
COPY --from=build --chown=node:node /posthorn/package.json ./
COPY --from=build --chown=node:node /posthorn/node_modules ./node_modules
COPY --from=build --chown=node:node /posthorn/dist ./dist
USER node
# docker-compose.yml shows the three commands: migrate once, then any number of api and worker.
CMD ["node", "dist/apps/api/src/main.js"]
