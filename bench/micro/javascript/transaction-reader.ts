// The body of a transaction in plain JavaScript: JSON.parse and checks. Laxer than the contract: 1.0
// passes for an integer, a member given twice for one, and broken UTF-8 for U+FFFD.

import type { Transaction } from '../workload.js';

export type Body = Pick<Transaction, 'credit' | 'amount' | 'description'>;

const charactersMax = 10;

/** Undefined for a body that is refused. */
export function readTransaction(bytes: Buffer): Body | undefined {
  let body: unknown;
  try {
    body = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof body !== 'object' || body === null) return undefined;
  const { valor, tipo, descricao } = body as Record<string, unknown>;
  if (!Number.isSafeInteger(valor) || (valor as number) < 1) return undefined;
  if (tipo !== 'c' && tipo !== 'd') return undefined;
  if (typeof descricao !== 'string' || !isDescription(descricao)) return undefined;
  return { credit: tipo === 'c', amount: valor as number, description: descricao };
}

function isDescription(text: string): boolean {
  if (text.length === 0 || text.length > 2 * charactersMax) return false;
  let characters = 0;
  for (let i = 0; i < text.length; i++, characters++) {
    const unit = text.charCodeAt(i);
    if (unit < 0xd800 || unit > 0xdfff) continue;
    const next = text.charCodeAt(++i);
    if (unit > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return false; // a lone surrogate
  }
  return characters <= charactersMax;
}
