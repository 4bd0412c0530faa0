/**
 * Version of the package, as in its package.json; a test compares them. Not read from that file, because
 * code that is bundled into a program would find the program's package.json.
 */
export const version = '0.1.0';
