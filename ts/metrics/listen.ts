// Listens as the addon does (native/sys/sockets.h): on all addresses of a name, with one port; `localhost`
// always means both loopback addresses.
import { lookup } from 'node:dns/promises';
import type { Server } from 'node:http';
import { isIP } from 'node:net';

// Attempts to find a port that is free on all addresses, if the kernel may choose it.
const portTriesMax = 16;

async function addressesOf(host: string): Promise<readonly string[]> {
  if (/^localhost\.?$/i.test(host)) return ['127.0.0.1', '::1'];
  if (isIP(host) !== 0) return [host];
  const found = await lookup(host, { all: true });
  return [...new Set(found.map(({ address }) => address))];
}

/** Whether this machine does not have the address, or not this version of IP. */
function isNotHere({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT' || code === 'EPROTONOSUPPORT';
}

function listen(server: Server, host: string, port: number, alone: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, ipv6Only: !alone }, () => {
      server.removeListener('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

/**
 * Servers that listen on every address of `host`, with one port. Addresses that this machine does not have
 * are skipped if there is another. Rejects with the error of a server's `listen`.
 */
export async function listenOnAll(
  create: () => Server,
  host: string,
  port: number,
): Promise<{ readonly port: number; readonly servers: readonly Server[] }> {
  const addresses = await addressesOf(host);
  for (let tries = 1; ; tries++) {
    const servers: Server[] = [];
    let chosen = port;
    let absent: unknown;
    try {
      for (const address of addresses) {
        const server = create();
        try {
          chosen = await listen(server, address, chosen, addresses.length === 1);
          servers.push(server);
        } catch (error) {
          if (!isNotHere(error as NodeJS.ErrnoException)) throw error;
          absent ??= error;
        }
      }
      if (servers.length > 0) return { port: chosen, servers };
      throw absent;
    } catch (error) {
      for (const server of servers) server.close();
      const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      if (!taken || port !== 0 || servers.length === 0 || tries === portTriesMax) throw error;
    }
  }
}
