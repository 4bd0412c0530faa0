// The contest's API as a careful author would write it on fastify and pg: one statement per transaction,
// a pool of connections, a schema that is checked before a handler runs.
//   SOCKET=path PGHOST=directory node server.js

import Fastify from 'fastify';
import pg from 'pg';

const pool = new pg.Pool({ max: 8, database: 'rinha', user: 'postgres' });
const app = Fastify({ logger: false });

// Debit and credit alike: the row is locked, the limit is checked, the entry is written, in one go.
const transact = {
  name: 'transact',
  text: `WITH changed AS (
      UPDATE accounts SET balance = balance + $2
      WHERE id = $1 AND balance + $2 >= -credit_limit RETURNING balance, credit_limit
    ), entry AS (
      INSERT INTO entries (account, value, kind, note) SELECT $1, $3, $4, $5 FROM changed
    ) SELECT balance, credit_limit FROM changed`,
};
const statement = {
  name: 'statement',
  text: `SELECT a.balance, a.credit_limit, e.value, e.kind, e.note, e.at FROM accounts a
    LEFT JOIN LATERAL (SELECT * FROM entries WHERE account = a.id ORDER BY id DESC LIMIT 10) e ON true
    WHERE a.id = $1`,
};

const body = {
  type: 'object',
  required: ['valor', 'tipo', 'descricao'],
  properties: {
    valor: { type: 'integer', minimum: 1 },
    tipo: { enum: ['c', 'd'] },
    descricao: { type: 'string', minLength: 1, maxLength: 10 },
  },
};

const known = (id) => /^[1-5]$/.test(id);

app.post('/clientes/:id/transacoes', { schema: { body } }, async ({ params, body }, reply) => {
  if (!known(params.id)) return reply.code(404).send();
  const { valor, tipo, descricao } = body;
  const change = tipo === 'c' ? valor : -valor;
  const values = [params.id, change, valor, tipo, descricao];
  const { rows } = await pool.query({ ...transact, values });
  if (rows.length === 0) return reply.code(422).send();
  return { limite: Number(rows[0].credit_limit), saldo: Number(rows[0].balance) };
});

app.get('/clientes/:id/extrato', async ({ params }, reply) => {
  if (!known(params.id)) return reply.code(404).send();
  const { rows } = await pool.query({ ...statement, values: [params.id] });
  const { balance, credit_limit } = rows[0];
  return {
    saldo: { total: Number(balance), data_extrato: new Date(), limite: Number(credit_limit) },
    ultimas_transacoes: rows
      .filter(({ kind }) => kind !== null)
      .map(({ value, kind, note, at }) => ({
        valor: Number(value),
        tipo: kind,
        descricao: note,
        realizada_em: at,
      })),
  };
});

app.setErrorHandler((error, _request, reply) => reply.code(error.validation ? 422 : 500).send());
await app.listen({ path: process.env.SOCKET });
process.stdout.write(`listening ${process.env.SOCKET}\n`);
