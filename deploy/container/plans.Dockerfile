# An image with your plans, for platforms that mount no files (ECS on Fargate). Run it in the directory that has plans/:
#
#   docker build -f plans.Dockerfile --build-arg CUTOVER=registry.example.com/cutover:0.1.0 -t registry.example.com/cutover-plans:1 .
#   docker build -f plans.Dockerfile --target with-kubectl …                 for plans that switch CronJobs of Kubernetes
ARG CUTOVER=cutover:0.1.0
ARG KUBECTL=registry.k8s.io/kubectl:v1.34.1

FROM ${KUBECTL} AS kubectl

FROM ${CUTOVER} AS with-kubectl
COPY --from=kubectl --chmod=0755 /bin/kubectl /usr/local/bin/kubectl
COPY plans/ /etc/cutover/plans/

FROM ${CUTOVER}
COPY plans/ /etc/cutover/plans/
