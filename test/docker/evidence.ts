// What is kept when something fails in containers: without it nobody can tell afterwards why.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ComposeProject } from '#espora/lab/compose-project.js';

const parent = '.build/docker-test';
let kept = 0;

/** Writes all that tells what happened to the containers into files; returns their directory. */
export async function keepEvidence(project: ComposeProject, below = parent): Promise<string> {
  const name = `${String(Date.now())}-${String(process.pid)}-${String(++kept)}`;
  const directory = resolve(below, name);
  mkdirSync(directory, { recursive: true });
  for (const [file, text] of Object.entries(await project.evidence())) {
    writeFileSync(join(directory, file), text);
  }
  return directory;
}

/** Runs `work`; if it fails, its containers' evidence is kept, and its error is passed on. */
export async function keepingEvidence<T>(
  project: ComposeProject,
  work: () => Promise<T>,
  { log, below }: { readonly log: (line: string) => void; readonly below?: string },
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    log(`what the containers said and did is in ${await keepEvidence(project, below)}`);
    throw error;
  }
}
