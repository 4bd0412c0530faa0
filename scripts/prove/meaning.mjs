// Whether two pieces of JavaScript mean the same, as far as that is visible without running them: unreachable
// statements, a `continue` at the end of its loop, a return of nothing at the end of its function, and the order of
// an object's members make no difference.

import esbuild from 'esbuild';
import ts from 'typescript';

const isObject = (node) => ts.isObjectLiteralExpression(node) || ts.isObjectBindingPattern(node);

/** Sorts the members of each object, unless it has a spread, where the order matters; a rest stays the last. */
function withMembersInOrder(context) {
  const visit = (node) => {
    const visited = ts.visitEachChild(node, visit, context);
    if (!isObject(visited)) return visited;
    const members = visited.properties ?? visited.elements;
    if (members.some(ts.isSpreadAssignment)) return visited;
    const keyed = members
      .filter((each) => !each.dotDotDotToken)
      .map((each) => [ts.getOriginalNode(each).name.getText(), each])
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const sorted = [
      ...keyed.map(([, each]) => each),
      ...members.filter((each) => each.dotDotDotToken),
    ];
    return ts.isObjectLiteralExpression(visited)
      ? context.factory.updateObjectLiteralExpression(visited, sorted)
      : context.factory.updateObjectBindingPattern(visited, sorted);
  };
  return (file) => ts.visitNode(file, visit);
}

const returnsNothing = (statement) =>
  ts.isReturnStatement(statement) &&
  (statement.expression === undefined || statement.expression.text === 'undefined');

/** Leaves out each return of nothing behind which its function ends anyway. */
function withoutLastReturns(context) {
  const { factory } = context;
  const ended = (statements) => {
    const kept = [...statements];
    while (kept.length > 0 && returnsNothing(kept.at(-1))) kept.pop();
    if (kept.length > 0) kept.push(endedOne(kept.pop()));
    return kept;
  };
  const branch = (statement) => statement && factory.createBlock(ended([statement]));
  const endedOne = (last) => {
    if (ts.isBlock(last)) return factory.updateBlock(last, ended(last.statements));
    if (ts.isIfStatement(last)) {
      const { expression, thenStatement, elseStatement } = last;
      return factory.updateIfStatement(
        last,
        expression,
        branch(thenStatement),
        branch(elseStatement),
      );
    }
    if (!ts.isSwitchStatement(last)) return last;
    const clauses = last.caseBlock.clauses.map(endedClause);
    const end = withStatements(clauses.pop(), (all) => all.filter((each) => !isBreak(each)));
    if (!ts.isDefaultClause(end) || end.statements.length > 0) clauses.push(end);
    const cases = factory.updateCaseBlock(last.caseBlock, clauses);
    return factory.updateSwitchStatement(last, last.expression, cases);
  };
  const isBreak = (statement) => ts.isBreakStatement(statement) && statement.label === undefined;
  const withStatements = (clause, change) =>
    ts.isCaseClause(clause)
      ? factory.updateCaseClause(clause, clause.expression, change(clause.statements))
      : factory.updateDefaultClause(clause, change(clause.statements));
  /** A return of nothing, or a break, ends the clause: what follows is never reached. */
  const endedClause = (clause) =>
    withStatements(clause, (all) => {
      const end = all.findIndex((each) => returnsNothing(each) || isBreak(each));
      return end < 0 ? all : [...all.slice(0, end), factory.createBreakStatement()];
    });
  const visit = (node) => {
    const visited = ts.visitEachChild(node, visit, context);
    return ts.isBlock(visited) && ts.isFunctionLike(node.parent) ? endedOne(visited) : visited;
  };
  return (file) => ts.visitNode(file, visit);
}

/** JavaScript that is the same for two texts only if they mean the same. */
export function meaningOf(text) {
  const file = ts.createSourceFile('a.js', text, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const { transformed } = ts.transform(file, [withoutLastReturns, withMembersInOrder]);
  const ordered = ts.createPrinter({ removeComments: true }).printFile(transformed[0]);
  return esbuild.transformSync(ordered, { minifySyntax: true }).code;
}
