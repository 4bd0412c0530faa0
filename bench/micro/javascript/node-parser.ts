// Node's own HTTP parser (llhttp, in C, called and calling back through V8's interface), which
// node:http uses, driven directly: without sockets, streams and IncomingMessage around it.

interface HTTPParser {
  initialize(type: number, resource: object): void;
  execute(bytes: Uint8Array): number | Error;
  [callback: number]: ((...values: never[]) => number | void) | null;
}

interface HTTPParserClass {
  new (): HTTPParser;
  readonly REQUEST: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}

interface Binding {
  readonly HTTPParser: HTTPParserClass;
  readonly allMethods: readonly string[];
}

const bindings = process as unknown as { binding?(name: 'http_parser'): Binding };

/** Whether this Node.js gives its parser out. It warns when asked for it, so this does not ask. */
export const isNodeParserAvailable = (): boolean => bindings.binding !== undefined;

/** What node:http learns of a request before it hands it on. */
export class NodeParser {
  method = '';
  path = '';
  body: Uint8Array | undefined;
  keepAlive = true;

  readonly #parser: HTTPParser;
  #complete = false;

  constructor() {
    const { HTTPParser, allMethods } = bindings.binding!('http_parser');
    const parser = new HTTPParser();
    parser.initialize(HTTPParser.REQUEST, {});
    parser[HTTPParser.kOnHeadersComplete] = (
      _major: number,
      _minor: number,
      _fields: string[],
      method: number,
      path: string,
      _status: number,
      _message: string,
      _upgrade: boolean,
      keepAlive: boolean,
    ): number => {
      this.method = allMethods[method]!;
      this.path = path;
      this.keepAlive = keepAlive;
      this.body = undefined;
      return 0;
    };
    parser[HTTPParser.kOnBody] = (body: Uint8Array): void => {
      this.body = body;
    };
    parser[HTTPParser.kOnMessageComplete] = (): void => {
      this.#complete = true;
    };
    this.#parser = parser;
  }

  /** Whether `bytes` are one whole, well-formed request. */
  parse(bytes: Uint8Array): boolean {
    this.#complete = false;
    return this.#parser.execute(bytes) === bytes.length && this.#complete;
  }
}
