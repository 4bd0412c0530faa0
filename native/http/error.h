// The refusals of HTTP itself: status, stable code and sentence of each. Together with
// face/errors.h this is the whole table of what a client can receive instead of an answer.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace espora::http {

// One refusal. `code` is part of the wire contract and never changes; `message` is one sentence for
// people and may change. Instances are constants with static lifetime.
struct Error {
  uint16_t status;
  std::string_view code;
  std::string_view message;
};

namespace errors {

// The connection closes after each of these: the requests after it can no longer be delimited.
inline constexpr Error request_line_invalid{400, "linha_invalida",
                                            "A linha de requisição não segue o HTTP/1.1."};
inline constexpr Error target_invalid{
    400, "alvo_invalido", "O alvo da requisição não é um caminho nem uma URL http válida."};
inline constexpr Error field_invalid{400, "cabecalho_invalido", "Um cabeçalho está malformado."};
inline constexpr Error host_invalid{400, "host_invalido",
                                    "O cabeçalho Host falta, está repetido ou não é um host."};
inline constexpr Error framing_ambiguous{
    400, "tamanho_ambiguo",
    "Content-Length ou Transfer-Encoding não delimitam o corpo sem dúvida."};
inline constexpr Error chunk_invalid{400, "chunk_invalido",
                                     "O corpo não segue a codificação chunked."};
inline constexpr Error request_timeout{408, "tempo_esgotado",
                                       "A requisição não chegou inteira a tempo."};
inline constexpr Error body_too_large{413, "corpo_grande_demais",
                                      "O corpo passa do tamanho permitido."};
inline constexpr Error request_line_too_long{414, "linha_longa_demais",
                                             "A linha de requisição passa do tamanho permitido."};
inline constexpr Error expectation_unknown{417, "expectativa_desconhecida",
                                           "A única expectativa atendida é 100-continue."};
inline constexpr Error fields_too_large{
    431, "cabecalhos_grandes_demais",
    "Os cabeçalhos passam do tamanho ou da quantidade permitida."};
inline constexpr Error coding_unknown{501, "codificacao_desconhecida",
                                      "A única codificação de transferência atendida é chunked."};
inline constexpr Error version_unsupported{505, "versao_nao_suportada",
                                           "As versões atendidas são HTTP/1.0 e HTTP/1.1."};

// Every error above, for tests and documentation.
std::span<const Error* const> all() noexcept;

}  // namespace errors

}  // namespace espora::http
