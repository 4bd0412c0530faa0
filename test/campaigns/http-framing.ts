// HTTP/1.1 as the campaigns speak it (every message has a Content-Length or no body), cut into messages.

/** One message and where it lies in the stream it was cut from. */
export interface Message {
  /** Request line or status line. */
  readonly first: string;
  readonly body: string;
  /** Offsets of its first byte and behind its last one. */
  readonly begin: number;
  readonly end: number;
}

const headEnd = Buffer.from('\r\n\r\n');

/** The whole messages that a stream starts with; what follows the last of them is not whole yet. */
export function cutMessages(stream: Buffer, from = 0): Message[] {
  const messages: Message[] = [];
  for (let begin = from; ;) {
    const head = stream.indexOf(headEnd, begin);
    if (head < 0) return messages;
    const text = stream.toString('latin1', begin, head);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0);
    const end = head + headEnd.length + length;
    if (end > stream.length) return messages;
    const body = stream.toString('utf8', head + headEnd.length, end);
    messages.push({ first: text.slice(0, text.indexOf('\r\n')), body, begin, end });
    begin = end;
  }
}

/** The status of an answer. */
export function statusOf({ first }: Message): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1] ?? NaN);
}

/** The bytes of a transaction's request. */
export function transactionRequest(
  id: number,
  tipo: string,
  valor: number,
  descricao: string,
): string {
  const body = JSON.stringify({ valor, tipo, descricao });
  return (
    `POST /clientes/${id}/transacoes HTTP/1.1\r\nHost: x\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}

/** The bytes of a statement's request. */
export function statementRequest(id: number): string {
  return `GET /clientes/${id}/extrato HTTP/1.1\r\nHost: x\r\n\r\n`;
}
