// The version of this package, as in its package.json; a test compares them. Not read from there: what
// is bundled into a program lies beside that program's package.json.

/** Version of the package. */
export const version = '0.1.0';
