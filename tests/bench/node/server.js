// SPDX-License-Identifier: MIT
// The same work as Node.js does it: a cluster, Fastify, ioredis, libsql (SQLite).
//
//   node server.js PORT WORKERS DATABASE SCHEMA DURABLE_SOCKET VOLATILE_SOCKET
//
// SCHEMA is the SQL of the bench service's tables, so that both have the same.
//
// Replies of SQL are serialised by schema, statements are prepared once, and
// values travel as buffers. Cached rows live in each worker's memory and are
// never made invalid: that is the fastest that a cluster can do, and it may be
// stale, where Jackdaw's are not.
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import Database from 'libsql';

const [port, workers, path, schema, durableSocket, volatileSocket] = process.argv.slice(2);
const rows = 10000;

function openDatabase() {
  const db = new Database(path);
  db.pragma('busy_timeout = 10000');
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.pragma('cache_size = -65536');
  db.pragma('mmap_size = 268435456');
  return db;
}

function createTables() {
  const db = openDatabase();
  db.exec(readFileSync(schema, 'utf8'));
  db.exec(`CREATE TABLE row (id INTEGER PRIMARY KEY, number INTEGER NOT NULL);
    CREATE TABLE event (id INTEGER PRIMARY KEY, who TEXT NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL);
    WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c WHERE x < ${rows})
    INSERT INTO row SELECT x, abs(random()) % 10000 FROM c;`);
  db.close();
}

const integer = { type: 'integer' };
const object = (properties) => ({ type: 'object', properties });
const reply = (schema) => ({ schema: { response: { '2xx': schema } } });
const worldSchema = object({ id: integer, randomNumber: integer });
const random = () => 1 + Math.floor(Math.random() * rows);
const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = (text) => text.replace(/[&<>"']/g, (c) => escapes[c]);

// TechEmpower's rule: 1 to 500, and 1 for what is no number.
function count(text) {
  const n = Number.parseInt(text, 10);
  return n > 500 ? 500 : n >= 1 ? n : 1;
}

async function serve() {
  const { default: Fastify } = await import('fastify');
  const { Redis } = await import('ioredis');
  const app = Fastify({
    logger: false,
    disableRequestLogging: true,
    keepAliveTimeout: 3600 * 1000,
    requestTimeout: 0,
    connectionTimeout: 0,
    bodyLimit: 4 << 20,
  });
  const redis = {
    kv: new Redis({ path: durableSocket, enableAutoPipelining: true }),
    cache: new Redis({ path: volatileSocket, enableAutoPipelining: true }),
  };
  const db = openDatabase();
  const one = db.prepare('SELECT id, randomNumber FROM world WHERE id = ?');
  const row = db.prepare('SELECT id, number FROM row WHERE id = ?');
  // As in the bench service: one statement each.
  const many = db.prepare(`WITH RECURSIVE picks (left, id) AS (
      SELECT ?1, 1 + abs(random() % ${rows})
      UNION ALL SELECT left - 1, 1 + abs(random() % ${rows}) FROM picks WHERE left > 1)
    SELECT world.id, randomNumber FROM picks CROSS JOIN world ON world.id = picks.id`);
  const update = db.prepare(`WITH RECURSIVE picks (left, id) AS (
      SELECT ?1, abs(random() % ${rows})
      UNION ALL SELECT left - 1, (id + 7919) % ${rows} FROM picks WHERE left > 1)
    UPDATE world SET randomNumber = 1 + abs(random() % ${rows})
     WHERE id IN (SELECT id + 1 FROM picks) RETURNING id, randomNumber`);
  const all = db.prepare('SELECT id, message FROM fortune');
  const logged = db.prepare('INSERT INTO event (who, what, n) VALUES (?, ?, ?)');
  const cachedRows = new Map(db.prepare('SELECT id, number FROM row').all().map((r) => [r.id, r]));
  const cachedWorld = db.prepare('SELECT id, randomNumber FROM world ORDER BY id').all();

  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (request, body, done) => done(null, body));
  for (const [name, store] of Object.entries(redis)) {
    app.get(`/${name}/:key`, async (request, response) => {
      const value = await store.getBuffer(request.params.key);
      if (value === null) return response.code(404).send();
      return response.type('application/octet-stream').send(value);
    });
    app.put(`/${name}/:key`, async (request, response) => {
      await store.set(request.params.key, request.body);
      return response.code(204).send();
    });
  }

  const rowReply = reply(object({ id: integer, number: integer }));
  app.get('/row/:id', rowReply, (request, response) => {
    response.send(cachedRows.get(Number(request.params.id)));
  });
  app.get('/fresh/:id', rowReply, (request, response) => {
    response.send(row.get(Number(request.params.id)));
  });
  app.post('/log', reply(object({ id: integer })), (request, response) => {
    const { who, what, n } = request.body;
    response.code(201).send({ id: logged.run(who, what, n).lastInsertRowid });
  });

  app.get('/json', reply(object({ message: { type: 'string' } })), (request, response) => {
    response.send({ message: 'Hello, World!' });
  });
  app.get('/db', reply(worldSchema), (request, response) => {
    response.send(one.get(random()));
  });
  const worldsReply = reply({ type: 'array', items: worldSchema });
  app.get('/rows/:n', worldsReply, (request, response) => {
    response.send(many.all(count(request.params.n)));
  });
  app.post('/updates/:n', worldsReply, (request, response) => {
    response.send(update.all(count(request.params.n)));
  });
  app.get('/world/:id', reply(worldSchema), (request, response) => {
    response.send(one.get(Number(request.params.id)));
  });
  app.get('/fortunes', (request, response) => {
    const fortunes = all.all();
    fortunes.push({ id: 0, message: 'Additional fortune added at request time.' });
    fortunes.sort((a, b) => (a.message < b.message ? -1 : a.message > b.message ? 1 : 0));
    let html = '<!DOCTYPE html><html><head><title>Fortunes</title></head><body><table><tr><th>id</th><th>message</th></tr>';
    for (const { id, message } of fortunes) html += `<tr><td>${id}</td><td>${escape(message)}</td></tr>`;
    response.type('text/html; charset=utf-8').send(`${html}</table></body></html>`);
  });
  app.get('/cached/:n', worldsReply, (request, response) => {
    const from = Math.max(Number(request.query.from ?? 1), 1) - 1;
    response.send(cachedWorld.slice(from, from + count(request.params.n)));
  });
  await app.listen({ host: '127.0.0.1', port: Number(port), backlog: 4096 });
}

if (cluster.isPrimary) {
  createTables();
  let left = Number(workers);
  cluster.on('listening', () => {
    if (--left === 0) console.log('ready');
  });
  cluster.on('exit', () => process.exit(1));
  for (let i = 0; i < Number(workers); i++) cluster.fork();
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGKILL');
    process.exit(0);
  });
} else {
  await serve();
}
