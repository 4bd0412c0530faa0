// Requests to a service under test over TCP or a unix socket, each on its own connection.
import { request } from 'node:http';

/** Where a service listens. */
export type Target = { readonly port: number } | { readonly unixSocket: string };

/** A complete answer. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Sends one request on its own connection; rejects if the answer is incomplete. */
export function send(target: Target, method: string, path: string, body = ''): Promise<Answer> {
  const where =
    'port' in target ? { host: '127.0.0.1', port: target.port } : { socketPath: target.unixSocket };
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...where, method, path, agent: false }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (part: string) => (text += part));
      incoming.once('end', () => {
        resolve({ status: incoming.statusCode ?? 0, body: text });
      });
      incoming.once('error', reject);
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

/** A statement of an account. */
export function statement(target: Target, id: number): Promise<Answer> {
  return send(target, 'GET', `/clientes/${String(id)}/extrato`);
}

/** A credit to an account. */
export function credit(target: Target, id: number, value: number): Promise<Answer> {
  const body = JSON.stringify({ valor: value, tipo: 'c', descricao: 'teste' });
  return send(target, 'POST', `/clientes/${String(id)}/transacoes`, body);
}

/** The balance that a statement shows. */
export async function balance(target: Target, id: number): Promise<number> {
  const { body } = await statement(target, id);
  return (JSON.parse(body) as { saldo: { total: number } }).saldo.total;
}
