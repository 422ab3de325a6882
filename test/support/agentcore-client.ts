/** The AWS SDK's client of AgentCore, pointed at a local server. */
import { Readable } from 'node:stream';
import { BedrockAgentCore } from '@aws-sdk/client-bedrock-agentcore';

/** The client, whose bodies arrive in pieces of this many bytes. */
export function agentCoreClient(endpoint: string, pieceLength = 1, maxAttempts = 1): BedrockAgentCore {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  const client = new BedrockAgentCore({ region: 'us-east-1', endpoint, credentials, maxAttempts });
  const { requestHandler } = client.config;
  const handle = requestHandler.handle.bind(requestHandler);
  requestHandler.handle = async (request, options) => {
    const answer = await handle(request, options);
    const body = answer.response.body as Readable;
    answer.response.body = Object.assign(Readable.from(pieces(body, pieceLength)), { statusCode: 200 });
    return answer;
  };
  return client;
}

async function* pieces(body: AsyncIterable<Buffer>, length: number): AsyncGenerator<Buffer> {
  for await (const chunk of body)
    for (let at = 0; at < chunk.length; at += length) yield chunk.subarray(at, at + length);
}
