// The verdict of Node.js's parser (llhttp, strict) on a stream of bytes, in the format of
// test/native/programs/http_verdicts.cc.

import { createRequire } from 'node:module';

const { HTTPParser, methods } = createRequire(import.meta.url)('_http_common');

/** The path of a target: without the query and, in absolute form, without the authority. */
function pathOf(target) {
  const absolute = /^https?:\/\/[^/?]*/i.exec(target);
  const path = absolute === null ? target : target.slice(absolute[0].length);
  const query = path.indexOf('?');
  const bare = query === -1 ? path : path.slice(0, query);
  return bare === '' && absolute !== null ? '/' : bare;
}

export class NodeParser {
  #parser = new HTTPParser();
  #text = '';
  #head = undefined;
  #body = '';
  #inMessage = false;
  #closed = false;
  #upgrade = false;

  constructor() {
    const parser = this.#parser;
    let url = '';
    parser[HTTPParser.kOnMessageBegin | 0] = () => {
      url = ''; // with trailers, the target of the previous request is reported again
      if (!this.#closed) this.#inMessage = true;
    };
    // Many header fields are reported in portions, the first one with the target.
    parser[HTTPParser.kOnHeaders | 0] = (headers, target) => {
      url += target;
    };
    parser[HTTPParser.kOnHeadersComplete | 0] = (
      major,
      minor,
      headers,
      method,
      target,
      status,
      message,
      upgrade,
      keepAlive,
    ) => {
      if (target !== undefined) url = target;
      this.#head = {
        method: methods[method],
        url,
        version: `${String(major)}.${String(minor)}`,
        keepAlive,
      };
      this.#upgrade = upgrade;
      this.#body = '';
      url = '';
      return 0;
    };
    parser[HTTPParser.kOnBody | 0] = (bytes, offset, length) => {
      // The signature of older and newer versions.
      this.#body += (
        offset === undefined ? bytes : bytes.subarray(offset, offset + length)
      ).latin1Slice();
    };
    parser[HTTPParser.kOnMessageComplete | 0] = () => {
      if (this.#closed || this.#head === undefined) return;
      const { method, url: target, version, keepAlive } = this.#head;
      const path = Buffer.from(pathOf(target), 'utf8').latin1Slice();
      this.#text += `${method} ${path} ${version} ${keepAlive ? 'keep' : 'close'} ${String(this.#body.length)}:${this.#body}\n`;
      this.#head = undefined;
      this.#inMessage = false;
      if (!keepAlive) this.#closed = true;
    };
  }

  verdictOn(bytes) {
    this.#text = '';
    this.#head = undefined;
    this.#inMessage = false;
    this.#closed = false;
    this.#upgrade = false;
    this.#parser.initialize(HTTPParser.REQUEST, {}, 0, 0);
    const result = this.#parser.execute(bytes);
    if (this.#closed) return `${this.#text}closed`;
    if (result instanceof Error) return `${this.#text}error 400 ${result.code}`;
    if (this.#upgrade && result < bytes.length) return `${this.#text}upgrade`;
    return `${this.#text}${this.#inMessage ? 'incomplete' : 'end'}`;
  }
}
