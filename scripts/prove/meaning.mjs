// Whether two pieces of JavaScript mean the same, as far as that is visible without running them: unreachable
// statements, a `continue` at the end of its loop, and the order of an object's members make no difference.

import esbuild from 'esbuild';
import ts from 'typescript';

const isObject = (node) => ts.isObjectLiteralExpression(node) || ts.isObjectBindingPattern(node);

/** Sorts the members of each object, unless it has a spread, where the order matters. */
function withMembersInOrder(context) {
  const visit = (node) => {
    const visited = ts.visitEachChild(node, visit, context);
    if (!isObject(visited)) return visited;
    const members = visited.properties ?? visited.elements;
    if (members.some((each) => ts.isSpreadAssignment(each) || each.dotDotDotToken)) return visited;
    const keyed = members.map((each) => [ts.getOriginalNode(each).name.getText(), each]);
    const sorted = keyed.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
    return ts.isObjectLiteralExpression(visited)
      ? context.factory.updateObjectLiteralExpression(visited, sorted)
      : context.factory.updateObjectBindingPattern(visited, sorted);
  };
  return (file) => ts.visitNode(file, visit);
}

/** JavaScript that is the same for two texts only if they mean the same. */
export function meaningOf(text) {
  const file = ts.createSourceFile('a.js', text, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const { transformed } = ts.transform(file, [withMembersInOrder]);
  const ordered = ts.createPrinter({ removeComments: true }).printFile(transformed[0]);
  return esbuild.transformSync(ordered, { minifySyntax: true }).code;
}
