// Metrics for Prometheus, and the same counters as JSON, on a separate port.
import { createServer, type Server, type ServerResponse } from 'node:http';
import { EsporaError } from '../errors.js';
import { listenOnAll } from './listen.js';
import { metricsText } from './exposition.js';
import type { Measured } from './measured.js';

export interface MetricsServer {
  readonly port: number;
  close(): void;
}

/**
 * Serves `/metrics` and `/stats`, without keeping the process alive. Rejects with an EsporaError if it
 * cannot listen.
 */
export async function serveMetrics(
  listen: { readonly host: string; readonly port: number },
  measure: () => Promise<readonly Measured[]>,
): Promise<MetricsServer> {
  const create = (): Server => {
    const server = createServer((request, response) => {
      answer(request.method, request.url, response, measure).catch((error: unknown) => {
        response.writeHead(500, { 'Content-Type': 'text/plain' }).end(`${String(error)}\n`);
      });
    });
    return server.unref();
  };
  try {
    const { port, servers } = await listenOnAll(create, listen.host, listen.port);
    return {
      port,
      close: () => {
        for (const server of servers) server.close();
      },
    };
  } catch (error) {
    const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
    const code = taken ? 'ERR_ESPORA_ADDRESS_IN_USE' : 'ERR_ESPORA_IO';
    const message = `the metrics cannot be served: ${(error as Error).message}`;
    const remedy = 'stop what listens there or choose another port with --metrics-port';
    throw new EsporaError(code, message, taken ? { remedy } : {});
  }
}

async function answer(
  method: string | undefined,
  url: string | undefined,
  response: ServerResponse,
  measure: () => Promise<readonly Measured[]>,
): Promise<void> {
  const path = url?.split('?')[0];
  const known = path === '/metrics' || path === '/stats';
  if (!known) response.writeHead(404).end();
  else if (method !== 'GET' && method !== 'HEAD')
    response.writeHead(405, { Allow: 'GET, HEAD' }).end();
  else if (path === '/metrics') {
    const text = await metricsText(await measure());
    response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' }).end(text);
  } else {
    const json = JSON.stringify(await measure());
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(`${json}\n`);
  }
}
