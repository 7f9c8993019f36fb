/** How far long work has come, on stderr: one line that is written over at a terminal, nothing elsewhere. */

export interface Progress {
  /** @param line of the daemon's stream; anything but progress is passed over */
  tell(line: string): void;
  /** Takes the line away. */
  end(): void;
}

export function progressOf(what: string, stream: NodeJS.WriteStream = process.stderr): Progress {
  let shown = false;
  return {
    tell: (line) => {
      const keys = /^{"progress":{"keys":(\d+)}}$/.exec(line)?.[1];
      if (keys === undefined || !stream.isTTY) return;
      stream.write(`\r${keys} ${what} `);
      shown = true;
    },
    end: () => {
      if (shown) stream.write('\r\x1b[K');
    },
  };
}
