// Text of the report in both languages; the page shows one and hides the other. Pure.

/** HTML that is safe to put into a page. */
export type Html = string & { readonly html: unique symbol };

export function escape(text: string): Html {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;') as Html;
}

/** Puts values into a page: Html as it is, everything else escaped. */
export function markup(parts: TemplateStringsArray, ...values: readonly Piece[]): Html {
  let page = parts[0]!;
  for (const [index, value] of values.entries()) {
    page += piece(value) + parts[index + 1]!;
  }
  return page as Html;
}

export type Piece = Html | number | undefined | readonly Piece[];

function piece(value: Piece): string {
  if (value === undefined) return '';
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' ? value : value.map(piece).join('');
}

/** A text in English and Portuguese; once if both are the same. */
export function say(english: string, portuguese: string): Html {
  return both(escape(english), escape(portuguese));
}

export function both(english: Html, portuguese: Html): Html {
  if (english === portuguese) return english;
  return markup`<span class="en" lang="en">${english}</span
    ><span class="pt" lang="pt-BR">${portuguese}</span>`;
}

/** A number with a fixed number of decimals, as each language writes it. */
export function number(value: number, decimals = 0): Html {
  const options = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return say(value.toLocaleString('en-US', options), value.toLocaleString('pt-BR', options));
}

/** A number with three significant digits, thousands as `k`. */
export function short(value: number): Html {
  const [shown, unit] = value >= 1000 ? [value / 1000, 'k'] : [value, ''];
  const options = { maximumSignificantDigits: 3, useGrouping: false };
  return say(
    `${shown.toLocaleString('en-US', options)}${unit}`,
    `${shown.toLocaleString('pt-BR', options)}${unit}`,
  );
}

/** A text in one of its languages, without markup. */
export function plain(text: Html, language: 'en' | 'pt'): string {
  const other = language === 'en' ? 'pt' : 'en';
  return text
    .replaceAll(new RegExp(`<span class="${other}"[^>]*>.*?</span\\s*>`, 'gs'), '')
    .replaceAll(/<[^>]*>/g, '')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&')
    .trim();
}

/** A percentage with two decimals that is never rounded up to 100. */
export function percentage(value: number): Html {
  return markup`${number(Math.floor(value * 100) / 100, 2)} %`;
}

/** Milliseconds; short times with more decimals. */
export function milliseconds(value: number): Html {
  return number(value, value < 10 ? 2 : value < 100 ? 1 : 0);
}

export function dollars(value: number): Html {
  const sign = value < 0 ? '−' : '';
  return markup`${escape(sign)}USD ${number(Math.abs(value), 2)}`;
}

export function megabytes(bytes: number): Html {
  return number(bytes / 2 ** 20);
}
