// Lets contestants that each go on for long take turns, one after the other.

/** While somebody has it, nobody else does anything. Whoever waits gets it in the order of asking. */
export class Baton {
  readonly #waiting: (() => void)[] = [];
  #held = false;

  /**
   * Waits for it, runs `use`, and gives it away for good. `pass` in between gives it to the others, and
   * resolves when all of them who waited have had their turn. Resolves with what `use` resolves with, and
   * the CPU that this process took meanwhile, of one CPU while it held the baton.
   */
  async hold<Result>(
    use: (pass: () => Promise<void>) => Promise<Result>,
  ): Promise<{ readonly result: Result; readonly cpuPercent: number }> {
    let us = 0;
    let ms = 0;
    let cpu = process.cpuUsage();
    let began = 0;
    const take = async (): Promise<void> => {
      if (this.#held) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#held = true;
      cpu = process.cpuUsage();
      began = performance.now();
    };
    const count = (): void => {
      const { user, system } = process.cpuUsage(cpu);
      us += user + system;
      ms += performance.now() - began;
    };
    await take();
    try {
      const result = await use(async () => {
        count();
        this.#give();
        await take();
      });
      count();
      return { result, cpuPercent: us / ms / 10 };
    } finally {
      this.#give();
    }
  }

  #give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#held = false;
    else next();
  }
}
