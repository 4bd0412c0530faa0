// The layer-4 forwarders that the trials of forwarding compare: ours in both modes, HAProxy, nginx,
// and the minimal relay. Each listens on a TCP port and forwards to one unix socket, on one thread.

import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findProgram, nativeProgram } from '../lib/processes.js';
import type { Command } from '../lib/processes.js';
import { haproxyTcp } from './shape.js';

/** Where a forwarder keeps its files, listens and forwards to. */
export interface Place {
  readonly directory: string;
  readonly port: number;
  readonly upstream: string;
}

/** A contestant of these trials. */
export interface Forwarder {
  readonly title: string;
  /** What it can't run without, and is not there. */
  readonly missing: readonly string[];
  /** It passes connections on, so that its upstream must be one that takes them. */
  readonly handsOff: boolean;
  readonly prepare: (place: Place) => Promise<Command>;
}

const nginxStreamModule = '/usr/lib/nginx/modules/ngx_stream_module.so';

const nginxStream = ({ directory, port, upstream }: Place): string => `daemon off;
master_process off;
load_module ${nginxStreamModule};
pid ${directory}/nginx.pid;
error_log ${directory}/nginx.log warn;
events { worker_connections 8192; }
stream {
  access_log off;
  proxy_connect_timeout 2s;
  proxy_timeout 60s;
  upstream out { server unix:${upstream}; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_pass out;
  }
}
`;

const haproxy = findProgram('haproxy');
const nginx = findProgram('nginx');

/** `mode tcp`, one thread. */
export function haproxyForwarder(title: string, options: readonly string[] = []): Forwarder {
  return {
    title,
    missing: haproxy === undefined ? ['haproxy'] : [],
    handsOff: false,
    prepare: async ({ directory, port, upstream }) => {
      const file = join(directory, `haproxy-${port}.cfg`);
      await writeFile(file, haproxyTcp(`127.0.0.1:${port}`, [`unix@${upstream}`], options));
      // -db: in the foreground.
      return { file: haproxy!, args: ['-db', '-f', file] };
    },
  };
}

/** `stream`, one worker, which is the process itself. */
export const nginxForwarder: Forwarder = {
  title: 'nginx, stream',
  missing: [
    ...(nginx === undefined ? ['nginx'] : []),
    ...(existsSync(nginxStreamModule) ? [] : ['libnginx-mod-stream']),
  ],
  handsOff: false,
  prepare: async (place) => {
    const file = join(place.directory, `nginx-${place.port}.conf`);
    await writeFile(file, nginxStream(place));
    return { file: nginx!, args: ['-e', join(place.directory, 'nginx.log'), '-c', file] };
  },
};

/** A program of bench/load. */
export function ownForwarder(
  title: string,
  program: 'forwarder' | 'minimal_relay',
  mode?: 'relay' | 'handoff',
): Forwarder {
  return {
    title,
    missing: [],
    handsOff: mode === 'handoff',
    prepare: ({ port, upstream }) => {
      const args = ['--port', String(port), '--upstream', upstream];
      const file = nativeProgram(program);
      return Promise.resolve({ file, args: mode ? [...args, '--mode', mode] : args });
    },
  };
}
