// The tables of the references, made from the tables of the code. Help and meanings in Portuguese live
// here: the program itself speaks English.
import { errorTable } from '#espora/errors.js';
import type { ErrorCode, ErrorRow } from '#espora/errors.js';
import * as metrics from '#espora/metrics/table.js';
import type { Metric } from '#espora/metrics/table.js';
import {
  commands,
  defaultText,
  flagOf,
  optionNames,
  optionOf,
  variableOf,
} from '#espora/options/table.js';
import type { OptionName } from '#espora/options/table.js';
import { replaceBlock } from '../../bench/lib/results.js';
import type { Language } from '../../bench/lib/summary.js';

const optionHelp: Readonly<Record<OptionName, string>> = {
  topology: 'quais serviços iniciar e como se ligam',
  host: 'nome ou endereço onde escutar; um nome vale por todos os seus endereços',
  port: 'porta TCP onde escutar; 0: o kernel escolhe',
  unixSocket: 'socket unix onde escutar, em vez de uma porta ou além dela',
  unixSocketMode: 'permissões do socket unix, em octal',
  handoffUsers:
    'ids de outros usuários cujos serviços podem entregar clientes a este ou recebê-los dele',
  listenFds: 'número de sockets em escuta a assumir, a partir do descritor 3 (o systemd define)',
  upstreams:
    'para onde encaminhar, separados por vírgulas: host:porta ou um caminho com barra, opcionalmente com " weight=2"',
  balance:
    'como o próximo upstream é escolhido: em rodízio, ou o que tem menos conexões em relação ao peso',
  db: 'para onde encaminhar: host:porta ou um caminho com barra',
  mode: 'relay: copia bytes; handoff: passa o socket do cliente adiante, para upstreams desta máquina',
  data: 'diretório do armazenamento',
  fsyncInterval:
    '0: flush antes de cada resposta; senão, relaxado: responde antes e faz o flush dentro deste tempo',
  accounts:
    'contas a criar, com seus limites: um array JSON, ou um arquivo que contém um; as contas existentes ficam como estão; um armazenamento novo sem esta opção recebe as cinco da rinha',
  segmentBytes:
    'tamanho de cada arquivo do armazenamento, fixado na criação; sem valor, um novo usa 64MiB',
  bodyBytesMax: 'maior corpo de uma requisição',
  headerTimeout: 'quanto tempo o cabeçalho de uma requisição pode levar para chegar',
  bodyTimeout: 'quanto tempo o corpo de uma requisição pode levar para chegar',
  keepAliveTimeout:
    'quanto tempo uma conexão pode ficar aberta entre requisições; escolha mais do que os proxies à frente',
  connectTimeout: 'quanto tempo uma tentativa de alcançar um upstream pode levar',
  idleTimeout: 'quanto tempo uma conexão encaminhada pode ficar em silêncio',
  halfCloseTimeout:
    'quanto tempo de silêncio uma conexão encaminhada tem depois que um sentido terminou',
  sessionTimeout:
    'quanto tempo uma conexão encaminhada pode durar, por mais ativa que esteja; 0: sem limite',
  resolveInterval:
    'tempo depois do qual os nomes dos upstreams são resolvidos de novo; 0: só depois de uma conexão que falhou',
  connectionsMax: 'máximo de conexões ao mesmo tempo; as demais esperam na fila do kernel',
  upstreamConnectionsMax:
    'máximo de conexões ao mesmo tempo em cada upstream; as demais esperam na fila do kernel; 0: sem limite',
  ejectAfter:
    'falhas seguidas (sem conexão, fechada antes de qualquer resposta, ou silêncio longo demais) que ejetam um upstream; 0: nunca',
  ejectWindow: 'só contam falhas dentro deste tempo',
  ejectSilence:
    'quanto tempo um upstream pode ficar sem enviar nada depois de uma requisição até isso contar como falha; 0: só contam os limites de inatividade e de meio fechamento',
  ejectTime: 'duração da primeira ejeção; cada uma das seguintes, sem recuperação, dura o dobro',
  ejectTimeMax: 'duração da ejeção mais longa',
  readmitAfter:
    'sessões seguidas com sucesso que encerram o período, depois de uma ejeção, em que uma única falha ejeta de novo',
  healthCheck: 'se os upstreams são verificados o tempo todo, e como: por conexão, ou por um GET',
  healthInterval: 'tempo entre duas verificações de um upstream',
  healthTimeout: 'quanto tempo uma verificação pode levar',
  healthPath: 'caminho pedido pelo GET de uma verificação',
  healthHost: 'campo Host do GET de uma verificação; sem valor, o endereço do upstream',
  healthStatus: 'códigos de status que contam como saudável',
  healthFall: 'verificações seguidas com falha que tiram um upstream de uso',
  healthRise: 'verificações seguidas com sucesso que o trazem de volta ao uso',
  proxyProtocolFrom: 'redes (ou unix) cujos clientes devem enviar um cabeçalho PROXY, v1 ou v2',
  proxyProtocolSend: 'se as conexões aos upstreams começam com um cabeçalho PROXY',
  adminSocket: 'socket unix para espora admin, acessível só ao dono',
  drainTimeout: 'quanto tempo as conexões abertas podem continuar depois que uma parada começa',
  name: 'nome em listas de processos, na saída e nos logs; sem valor, o tipo do serviço',
  readyFile:
    'arquivo que existe enquanto clientes são atendidos e diz à verificação de saúde da imagem como conferir isso',
  runDirectory: 'diretório dos sockets dos serviços; sem valor, um privado que é removido no fim',
  metricsPort: 'porta TCP de /metrics (Prometheus) e /stats (JSON); sem valor, nenhum dos dois',
  metricsHost:
    'nome ou endereço onde a porta de métricas escuta; um nome vale por todos os seus endereços',
  logLevel: 'gravidade mínima das mensagens registradas',
  logFormat: 'linhas de log como texto ou JSON; auto: texto num terminal, JSON fora dele',
};

const errorMeaning: Readonly<Record<ErrorCode, string>> = {
  ERR_ESPORA_INVALID: 'Um valor dado é inválido.',
  ERR_ESPORA_NOT_FOUND: 'O arquivo, socket ou registro não existe.',
  ERR_ESPORA_EXISTS: 'Já existe algo ali.',
  ERR_ESPORA_LOCKED: 'Outro processo está com o armazenamento aberto.',
  ERR_ESPORA_PERMISSION: 'O sistema operacional não permite.',
  ERR_ESPORA_ADDRESS_IN_USE: 'Outro processo já escuta nesse endereço.',
  ERR_ESPORA_UNAVAILABLE: 'Nada responde ali, ou não agora.',
  ERR_ESPORA_NO_SPACE: 'O disco, uma cota ou o armazenamento está cheio; nada mudou.',
  ERR_ESPORA_TOO_LARGE: 'Está acima de um limite, que a mensagem diz.',
  ERR_ESPORA_OVERLOADED: 'Uma fila limitada está cheia.',
  ERR_ESPORA_IO: 'Uma escrita, leitura ou flush falhou.',
  ERR_ESPORA_CORRUPT: 'O que está no disco se contradiz.',
  ERR_ESPORA_VERSION: 'O que está no disco foi escrito por outra versão ou para outro fim.',
  ERR_ESPORA_INDETERMINATE: 'Pode ter acontecido ou não.',
  ERR_ESPORA_FAILED: 'Uma falha anterior impede; um reinício recupera a partir do disco.',
  ERR_ESPORA_CLOSED: 'O objeto foi fechado ou parado.',
  ERR_ESPORA_UNSUPPORTED: 'Este kernel, sistema de arquivos ou versão não tem suporte a isso.',
  ERR_ESPORA_UNREADABLE: 'O dispositivo não devolve o que foi guardado: erro de leitura.',
  ERR_ESPORA_RESOURCES: 'Não resta descritor, memória ou thread para isso.',
  ERR_ESPORA_ADDON: 'O addon nativo está faltando ou não serve para este Node.js.',
  ERR_ESPORA_SERVICE: 'Um serviço iniciado pelo supervisor terminou antes de ficar pronto.',
};

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

const code = (text: string): string => `\`${text}\``;

function defaultOf(name: OptionName, language: Language): string {
  const text = defaultText(name);
  if (text === 'none') return '';
  if (text === "the contest's five") return language === 'en' ? text : 'as cinco da rinha';
  const { defaultUnless } = optionOf(name);
  if (defaultUnless === undefined) return code(text);
  const flags = defaultUnless.map((other) => code(flagOf(other as OptionName)));
  return language === 'en'
    ? `${code(text)}, none with ${flags.join(' or ')}`
    : `${code(text)}, nenhum com ${flags.join(' ou ')}`;
}

function optionRow(name: OptionName, language: Language): readonly string[] {
  const { kind, commands: uses, help } = optionOf(name);
  const placeholder = kind.placeholder.replaceAll('|', '\\|');
  return [
    code(`${flagOf(name)} ${placeholder}`),
    code(variableOf(name)),
    code(name),
    defaultOf(name, language),
    commands.filter((command) => uses.includes(command)).join(', '),
    language === 'en' ? help : optionHelp[name],
  ];
}

function errorRow(name: ErrorCode, language: Language): readonly string[] {
  const { meaning, definite, exitCode }: ErrorRow = errorTable[name];
  const words = language === 'en' ? ['yes', 'no'] : ['sim', 'não'];
  return [
    code(name),
    language === 'en' ? meaning : errorMeaning[name],
    words[definite ? 0 : 1]!,
    String(exitCode),
  ];
}

const metricsOf: readonly (readonly [of: string, rows: Readonly<Record<string, Metric>>])[] = [
  ['each process', metrics.lifeMetrics],
  ['each process that is up', metrics.processMetrics],
  ['database', { ...metrics.databaseMetrics, ...metrics.flushMetrics }],
  ['balancer, api', metrics.forwarderMetrics],
  ['upstream', metrics.upstreamMetrics],
];

const typeOf = { counter: 'counter', gauge: 'gauge', flag: 'gauge', times: 'summary' } as const;

function metricRows(): readonly (readonly string[])[] {
  return metricsOf.flatMap(([of, rows]) =>
    Object.values(rows).map((metric) => [
      code(metrics.fullName(metric)),
      typeOf[metric.kind],
      of,
      metric.help,
    ]),
  );
}

/** Tables by the name that marks them in a document: `<!-- name -->` … `<!-- /name -->`. */
export function tablesOf(language: Language): Readonly<Record<string, string>> {
  const english = language === 'en';
  return {
    options: table(
      english
        ? ['flag', 'variable', 'key and property', 'default', 'commands', 'meaning']
        : ['flag', 'variável', 'chave e propriedade', 'padrão', 'comandos', 'significado'],
      optionNames.map((name) => optionRow(name, language)),
    ),
    errors: table(
      english
        ? ['code', 'meaning', 'definite', 'exit code']
        : ['código', 'significado', 'definitivo', 'código de saída'],
      (Object.keys(errorTable) as ErrorCode[]).map((name) => errorRow(name, language)),
    ),
    ...(english ? { metrics: table(['metric', 'type', 'of', 'meaning'], metricRows()) } : {}),
  };
}

/** The document with its tables made anew. Throws if a mark is missing. */
export function withTables(document: string, language: Language): string {
  return Object.entries(tablesOf(language)).reduce(
    (text, [name, made]) => replaceBlock(text, name, made),
    document,
  );
}

/** The documents that hold tables. */
export const documents: Readonly<Record<string, Language>> = {
  'docs/reference.md': 'en',
  'docs/reference.pt-BR.md': 'pt-BR',
};
