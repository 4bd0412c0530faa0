// A client of the admin socket: one request, one answer.
import { request } from 'node:http';
import { EsporaError, isErrorCode } from '../errors.js';

/**
 * Sends a request to the balancer behind the unix socket `path`. Resolves with the answer's JSON. Rejects
 * with the balancer's EsporaError; with ERR_ESPORA_UNAVAILABLE if there is no answer, or with
 * ERR_ESPORA_INDETERMINATE if a change may have been made nevertheless.
 */
export async function askAdmin(
  path: string,
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  resource: string,
  body?: object,
  patienceMs = 5000,
): Promise<unknown> {
  const { status, text } = await exchange(path, method, resource, body, patienceMs);
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new EsporaError('ERR_ESPORA_UNAVAILABLE', `what answers on ${path} is no admin socket`);
  }
  if (status < 400) return answer;
  const { code, message } = answer as { code?: unknown; message?: unknown };
  throw new EsporaError(isErrorCode(code) ? code : 'ERR_ESPORA_FAILED', String(message));
}

function exchange(
  socketPath: string,
  method: string,
  path: string,
  body: object | undefined,
  patienceMs: number,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(patienceMs);
    const fail = ({ code, message }: NodeJS.ErrnoException): void => {
      const denied = code === 'EACCES' || code === 'EPERM';
      const absent = code === 'ECONNREFUSED' || code === 'ENOENT';
      // Only a balancer that was not reached has certainly changed nothing.
      if (!signal.aborted && (denied || absent)) {
        reject(
          new EsporaError(
            denied ? 'ERR_ESPORA_PERMISSION' : 'ERR_ESPORA_UNAVAILABLE',
            `the admin socket ${socketPath} cannot be reached: ${absent ? 'nothing listens there' : message}`,
          ),
        );
        return;
      }
      const what = signal.aborted
        ? `did not answer within ${String(patienceMs / 1000)} s`
        : `ended the connection before it had answered (${message})`;
      const open = method === 'GET' ? '' : ', and what it was asked for may or may not be done';
      reject(
        new EsporaError(
          method === 'GET' ? 'ERR_ESPORA_UNAVAILABLE' : 'ERR_ESPORA_INDETERMINATE',
          `the balancer behind ${socketPath} ${what}${open}: look at its process`,
        ),
      );
    };
    const asked = request({ socketPath, method, path, agent: false, signal }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
      });
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, text });
      });
      response.once('error', fail);
    });
    asked.once('error', fail);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
