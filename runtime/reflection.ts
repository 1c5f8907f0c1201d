// The standard reflection service: tools such as `buf curl` and grpcurl learn the schema from the server itself.
import {
  createRegistry,
  type DescExtension,
  type DescFile,
  type DescService,
  type MessageInitShape,
  type Registry,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from '../gen/grpc/reflection/v1/reflection_pb.ts';
import { type Mount, mount } from './mount.ts';

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;

class NotHere extends Error {}

/** Serves the descriptors of `services` and of all that they import. */
export function createReflection(services: readonly DescService[]): Mount {
  const offered = [...services, ServerReflection];
  const files = new Map<string, DescFile>();
  const collect = (file: DescFile) => {
    if (files.has(file.proto.name)) return;
    files.set(file.proto.name, file);
    for (const dependency of file.dependencies) collect(dependency);
  };
  for (const service of offered) collect(service.file);
  const registry = createRegistry(...files.values());

  function answer({ messageRequest: asked }: ServerReflectionRequest): Answer {
    switch (asked.case) {
      case 'listServices':
        return {
          case: 'listServicesResponse',
          value: { service: offered.map(({ typeName }) => ({ name: typeName })) },
        };
      case 'fileByFilename':
        return descriptor(files.get(asked.value));
      case 'fileContainingSymbol':
        return descriptor(fileOf(registry, asked.value));
      case 'fileContainingExtension':
        return descriptor(
          registry.getExtensionFor(messageOf(asked.value.containingType), asked.value.extensionNumber)?.file,
        );
      case 'allExtensionNumbersOfType':
        return {
          case: 'allExtensionNumbersResponse',
          value: {
            baseTypeName: asked.value,
            extensionNumber: extensionsOf(asked.value).map(({ number }) => number),
          },
        };
      default:
        throw new NotHere('nothing was asked');
    }
  }
  const messageOf = (name: string) => {
    const message = registry.getMessage(name);
    if (!message) throw new NotHere(name);
    return message;
  };
  const extensionsOf = (name: string): DescExtension[] => {
    const { typeName } = messageOf(name);
    return [...registry]
      .filter((desc) => desc.kind === 'extension')
      .filter(({ extendee }) => extendee.typeName === typeName);
  };

  return mount(ServerReflection, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        const echo = { validHost: request.host, originalRequest: request };
        try {
          yield { ...echo, messageResponse: answer(request) };
        } catch (error) {
          if (!(error instanceof NotHere)) throw error;
          const value = { errorCode: Code.NotFound, errorMessage: `unknown: ${error.message.slice(0, 200)}` };
          yield { ...echo, messageResponse: { case: 'errorResponse', value } };
        }
      }
    },
  });
}

function descriptor(file: DescFile | undefined): Answer {
  if (!file) throw new NotHere('no such file or symbol');
  return {
    case: 'fileDescriptorResponse',
    value: { fileDescriptorProto: [toBinary(FileDescriptorProtoSchema, file.proto)] },
  };
}

/** The file that declares a type, or the type around a method, field or value. */
function fileOf(registry: Registry, symbol: string): DescFile | undefined {
  for (let name = symbol; name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('.')))) {
    const found = registry.get(name);
    if (found) return found.file;
  }
  return undefined;
}
